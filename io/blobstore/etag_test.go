package blobstore

import (
	"crypto/md5"
	"hash"
)

func newMD5() hash.Hash { return md5.New() }

// etagOf is the plain way to make an ETag.
func etagOf(data []byte, part int64) []byte {
	if part == 0 {
		sum := md5.Sum(data)
		return sum[:]
	}
	var all []byte
	for len(data) > 0 {
		n := min(int(part), len(data))
		sum := md5.Sum(data[:n])
		all = append(all, sum[:]...)
		data = data[n:]
	}
	sum := md5.Sum(all)
	return sum[:]
}
