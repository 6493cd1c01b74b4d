package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
)

// s3Bucket is what S3 has beyond what all stores have.
type s3Bucket struct {
	client *s3.Client
	name   string
	copied int64 // bytes of a range of copyLarge
}

// abortUploads aborts all, a page at a time. Where they may not be listed, or the server cannot,
// those that a killed run left stay: a rule of the bucket can remove them, and no run fails for it.
func (b *s3Bucket) abortUploads(ctx context.Context, prefix, but string) error {
	in := &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &prefix}
	for {
		page, err := b.client.ListMultipartUploads(ctx, in)
		if unlistable(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list unfinished uploads: %w", err)
		}
		err = each(ctx, page.Uploads, func(ctx context.Context, u types.MultipartUpload) error {
			if but != "" && strings.HasPrefix(aws.ToString(u.Key), but) {
				return nil
			}
			return b.abort(ctx, aws.ToString(u.Key), aws.ToString(u.UploadId))
		})
		if err != nil || !aws.ToBool(page.IsTruncated) {
			return err
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

func unlistable(err error) bool {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && slices.Contains([]int{http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented}, answer.HTTPStatusCode())
}

func (b *s3Bucket) abort(ctx context.Context, key, id string) error {
	_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &key, UploadId: &id})
	if _, gone := errors.AsType[*types.NoSuchUpload](err); gone {
		return nil
	}
	if err != nil {
		return fmt.Errorf("abort the upload of %s: %w", key, err)
	}
	return nil
}

// source names an object that is copied. A space is not written as a plus sign, as the driver
// does: AWS takes that for a space, and servers that read it as the path of a URL for a plus.
func (b *s3Bucket) source(key string) string {
	return strings.ReplaceAll(url.QueryEscape(b.name+"/"+key), "+", "%20")
}

func (b *s3Bucket) copyOptions(from string) *blob.CopyOptions {
	return &blob.CopyOptions{BeforeCopy: func(as func(any) bool) error {
		var in *s3.CopyObjectInput
		if as(&in) {
			in.CopySource = aws.String(b.source(from))
		}
		return nil
	}}
}

// copyLarge copies in ranges, since one request copies 5 GiB at most:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/CopyingObjectsMPUapi.html
func (b *s3Bucket) copyLarge(ctx context.Context, from, to string, size int64) error {
	made, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &b.name, Key: &to})
	if err != nil {
		return err
	}
	id := aws.ToString(made.UploadId)
	if err := b.copyRanges(ctx, from, to, id, size); err != nil {
		ctx, cancel := anyway(ctx)
		defer cancel()
		return errors.Join(err, b.abort(ctx, to, id))
	}
	return nil
}

func (b *s3Bucket) copyRanges(ctx context.Context, from, to, id string, size int64) error {
	source := b.source(from)
	parts := make([]types.CompletedPart, (size+b.copied-1)/b.copied)
	numbers := make([]int, len(parts))
	for i := range numbers {
		numbers[i] = i
	}
	err := each(ctx, numbers, func(ctx context.Context, i int) error {
		first := int64(i) * b.copied
		bytes := fmt.Sprintf("bytes=%d-%d", first, min(first+b.copied, size)-1)
		number := aws.Int32(int32(i + 1)) //nolint:gosec // 10000 at most: the store refuses more
		out, err := b.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: &b.name, Key: &to, UploadId: &id, PartNumber: number, CopySource: &source, CopySourceRange: &bytes,
		})
		if err == nil {
			parts[i] = types.CompletedPart{ETag: out.CopyPartResult.ETag, PartNumber: number}
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &to, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// deletedAtOnce is how many objects one request removes: S3's limit.
const deletedAtOnce = 1000

func (b *s3Bucket) deleteAll(ctx context.Context, keys []string) error {
	for len(keys) > 0 {
		n := min(len(keys), deletedAtOnce)
		doomed := make([]types.ObjectIdentifier, n)
		for i := range doomed {
			doomed[i].Key = &keys[i]
		}
		keys = keys[n:]
		out, err := b.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &b.name, Delete: &types.Delete{Objects: doomed, Quiet: aws.Bool(true)},
		})
		if err != nil {
			return err
		}
		for _, e := range out.Errors {
			if aws.ToString(e.Code) != "NoSuchKey" {
				return fmt.Errorf("remove %s: %s: %s", aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message))
			}
		}
	}
	return nil
}
