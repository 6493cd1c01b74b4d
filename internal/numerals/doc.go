// Package numerals reads and writes numbers in decimal digits, eight at a time.
//
// A number that is read is the bytes of a text from one offset to another. The Pad bytes before and after
// it may be read, whatever they are.
package numerals
