// Package numerals reads numbers that are written in decimal digits, eight digits at a time.
//
// A number is the bytes of a text from one offset to another. The Pad bytes before and after
// it may be read, whatever they are.
package numerals
