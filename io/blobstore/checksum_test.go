package blobstore_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// uploadWith puts an object whose checksum is of a kind; in parts of so many bytes, where
// that is not 0.
func uploadWith(t *testing.T, g *blobtest.Gateway, key string, data []byte, kind types.ChecksumAlgorithm, part int) {
	t.Helper()
	var client *s3.Client
	if !g.Bucket.As(&client) {
		t.Fatal("the bucket is not of S3")
	}
	bucket := "bucket"
	if part == 0 {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data), ChecksumAlgorithm: kind}); err != nil {
			t.Fatal(err)
		}
		return
	}
	made, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key, ChecksumAlgorithm: kind})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for piece := range slices.Chunk(data, part) {
		number := int32(len(parts) + 1)
		out, err := client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &bucket, Key: &key, UploadId: made.UploadId, PartNumber: &number, Body: bytes.NewReader(piece), ChecksumAlgorithm: kind})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: &number, ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME})
	}
	if _, err := client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: made.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}); err != nil {
		t.Fatal(err)
	}
}

// Objects are compared with the checksum that the server made of them when they came,
// whichever it is; bytes that rotted in the server since are found, when read by ranges and
// as a whole.
func TestStoreChecksums(t *testing.T) {
	g := blobtest.Start(t)
	data := make([]byte, 11<<20+12345)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	for _, c := range []struct {
		name string
		kind types.ChecksumAlgorithm
		part int
		size int
	}{
		{"crc64", types.ChecksumAlgorithmCrc64nvme, 0, len(data)},
		{"crc32c", types.ChecksumAlgorithmCrc32c, 0, len(data)},
		{"crc32", types.ChecksumAlgorithmCrc32, 0, len(data)},
		{"sha256, so the ETag", types.ChecksumAlgorithmSha256, 0, len(data)},
		{"crc64 of parts", types.ChecksumAlgorithmCrc64nvme, 5 << 20, len(data)},
		{"crc32c of parts", types.ChecksumAlgorithmCrc32c, 5 << 20, len(data)},
		{"a small one, by its ETag", types.ChecksumAlgorithmCrc32c, 0, 100_000},
	} {
		key := "sums/" + c.name
		uploadWith(t, g, key, data[:c.size], c.kind, c.part)
		check := func(want error) {
			t.Helper()
			store := blobstore.New(blobstore.Options{Endpoint: g.URL})
			object, err := store.Open(t.Context(), "s3://bucket/"+key)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			defer func() { _ = errors.Join(object.Close(), store.Close()) }()
			ranged := object.(dataset.Ranged)
			if err := ranged.Ahead(t.Context(), []format.Range{{Length: int64(c.size)}}); err != nil {
				t.Errorf("%s: Ahead() = %v", c.name, err)
			}
			if _, err := ranged.ReadAt(t.Context(), make([]byte, 1000), int64(c.size)/2); err != nil {
				t.Errorf("%s: ReadAt() = %v", c.name, err)
			}
			if err := object.(dataset.Verified).Verify(t.Context()); !errors.Is(err, want) {
				t.Errorf("%s: Verify() = %v; want %v", c.name, err, want)
			}
			_, done, err := object.Local(t.Context())
			if err == nil {
				err = done()
			}
			if !errors.Is(err, want) && c.size == len(data) { // of a small one only an ETag is known, which may be none
				t.Errorf("%s: Local() = %v; want %v", c.name, err, want)
			}
		}
		check(nil)
		file, err := os.OpenFile(filepath.Join(g.Dir, "bucket", key), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte{data[77] ^ 1}, 77); err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		if c.kind != types.ChecksumAlgorithmSha256 {
			check(format.ErrDamaged)
		}
	}
}

// While little may be held, requests are still of several blocks.
func TestRequestsOfSeveralBlocks(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	data := make([]byte, 20_000_000)
	g.Put(t, "large", data)
	store := blobstore.New(blobstore.Options{Endpoint: proxy.URL, BufferBytes: 8 << 20, Checks: blobstore.ChecksNever})
	opened, err := store.Open(t.Context(), "s3://bucket/large")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(opened.Close(), store.Close()) }()
	object := opened.(dataset.Ranged)
	ahead := make(chan error, 1)
	go func() { ahead <- object.Ahead(t.Context(), []format.Range{{Length: int64(len(data))}}) }()
	for off := 0; off < len(data); off += 100_000 {
		if _, err := object.ReadAt(t.Context(), make([]byte, 100_000), int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ahead; err != nil {
		t.Fatal(err)
	}
	if n := proxy.Requests(); n > 30 {
		t.Errorf("%d requests for 77 blocks, of which 32 may be held; want at most 30", n)
	}
}

// What is read of an object is summed up as it comes, however its checksum is made; and what is
// fetched only for that comes by several requests at a time.
func TestSummedUpAsItComes(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	data := make([]byte, 24<<20+12345)
	_, _ = rand.NewChaCha8([32]byte{8}).Read(data)
	uploadWith(t, g, "parts", data, types.ChecksumAlgorithmCrc32c, 5<<20)
	for _, read := range []bool{true, false} {
		proxy.Set(20*time.Millisecond, nil)
		store := blobstore.New(blobstore.Options{Endpoint: proxy.URL, BufferBytes: 16 << 20})
		opened, err := store.Open(t.Context(), "s3://bucket/parts")
		if err != nil {
			t.Fatal(err)
		}
		object := opened.(dataset.Ranged)
		if read {
			ahead := make(chan error, 1)
			go func() { ahead <- object.Ahead(t.Context(), []format.Range{{Length: int64(len(data))}}) }()
			<-blobstore.Watched(opened) // by then, on a busy machine, all may have come and gone
			got := make([]byte, len(data))
			for off := 0; off < len(data); off += 1 << 20 {
				_, err = object.ReadAt(t.Context(), got[off:min(off+1<<20, len(data))], int64(off))
			}
			if err = errors.Join(err, <-ahead); err != nil || !bytes.Equal(got, data) {
				t.Errorf("what is read is not what the object has, or %v", err)
			}
		}
		if err := opened.(dataset.Verified).Verify(t.Context()); err != nil {
			t.Errorf("Verify() = %v", err)
		}
		if extra := proxy.Bytes() - int64(len(data)); extra > 1<<20 {
			t.Errorf("%d bytes came more than the %d of the object", extra, len(data))
		}
		if n := proxy.AtOnce(); n < 4 {
			t.Errorf("at most %d requests were under way at a time; want 4, as there is room for", n)
		}
		if err := errors.Join(opened.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	}
}
