// Package jsonlfile reads, by package lines, and writes JSON Lines (https://jsonlines.org, also NDJSON): one JSON
// object for each row, with a member for each column in the order of the schema, nulls
// too. The same batches always give the same bytes. How each type stands in JSON says
// package rowtext: a NaN or an infinity, which JSON does not have, is null.
package jsonlfile
