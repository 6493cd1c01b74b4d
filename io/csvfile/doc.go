// Package csvfile reads CSV, by package lines, and writes it as RFC 4180 describes it, with LF at the end of
// lines: a header line of column names, then one line for each row. The same
// batches always give the same bytes. How each type stands in a field says
// package rowtext.
//
// A field is quoted when it holds the delimiter, a quote, CR or LF, and where it is an
// empty text, so that a null, which is an empty field, is another. In a file of one
// column a null is "" too, since readers would take an empty line for none.
//
// For spreadsheets (format.WriteOptions.SpreadsheetSafe) a text, or a column's name, that
// begins as a formula does has an apostrophe before it and is quoted; columns of numbers
// stay numbers.
package csvfile
