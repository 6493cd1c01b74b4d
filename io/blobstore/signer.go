package blobstore

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// signedError is a refusal of a request, with where the credentials came from that it was
// signed with.
type signedError struct {
	cause  error
	source string
}

func (e *signedError) Error() string { return e.cause.Error() }
func (e *signedError) Unwrap() error { return e.cause }

// refusals are codes of answers that a request's credentials are the reason of, whatever
// the status.
var refusals = []string{"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch"}

// refused says that an answer is about the credentials, or what they are good for.
func refused(err error) bool {
	var api smithy.APIError
	return slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden}, statusOf(err)) ||
		errors.As(err, &api) && slices.Contains(refusals, api.ErrorCode())
}

// noteSigner has refusals say whose credentials it were: several conventions name some, and
// the first wins.
func noteSigner(provider aws.CredentialsProvider) func(*middleware.Stack) error {
	noted := middleware.InitializeMiddlewareFunc("millrace:signer", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleInitialize(ctx, in)
		if err != nil && refused(err) && provider != nil {
			if used, asked := provider.Retrieve(ctx); asked == nil { // it keeps them
				err = &signedError{cause: err, source: sourceName(used.Source)}
			}
		}
		return out, metadata, err
	})
	return func(stack *middleware.Stack) error { return stack.Initialize.Add(noted, middleware.Before) }
}

// sourceName is what users know a source of credentials by.
func sourceName(source string) string {
	if source == "EnvConfigCredentials" {
		return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	}
	if file, ok := strings.CutPrefix(source, "SharedConfigCredentials: "); ok {
		return file
	}
	return source
}
