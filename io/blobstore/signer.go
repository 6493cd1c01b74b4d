package blobstore

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

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
	return slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden}, statusOf(err)) || expired(err)
}

// renewedError is a refusal of credentials in whose place others were found since.
type renewedError struct{ error }

func (e *renewedError) Unwrap() error { return e.error }

// renewing are credentials that are looked for anew when the store refuses them: of those of a
// run that takes hours some programs write others into the same file meanwhile. What names the
// end of its own credentials is asked for others in time by the client.
type renewing struct {
	look func(ctx context.Context) (aws.CredentialsProvider, error)

	mu  sync.Mutex
	now aws.CredentialsProvider
	at  time.Time // when others were found; zero before
}

// renewedLately is how long requests may still be refused that were signed with the ones before.
const renewedLately = 30 * time.Second

// Retrieve implements aws.CredentialsProvider.
func (r *renewing) Retrieve(ctx context.Context) (aws.Credentials, error) {
	r.mu.Lock()
	now := r.now
	r.mu.Unlock()
	return now.Retrieve(ctx)
}

// renew says whether there are others than those that were refused.
func (r *renewing) renew(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && time.Since(r.at) < renewedLately {
		return true
	}
	before, err := r.now.Retrieve(ctx)
	if err != nil {
		return false
	}
	provider, err := r.look(ctx)
	if err != nil || provider == nil {
		return false
	}
	found, err := provider.Retrieve(ctx)
	if err != nil || found.AccessKeyID == before.AccessKeyID && found.SecretAccessKey == before.SecretAccessKey && found.SessionToken == before.SessionToken {
		return false
	}
	r.now, r.at = provider, time.Now()
	return true
}

// retryable has the client's own attempts go on with others.
func (r *renewing) retryable(err error) aws.Ternary {
	if expired(err) && r.renew(context.Background()) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// expired says that an answer is about the credentials themselves.
func expired(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(refusals, api.ErrorCode())
}

// noteSigner has refusals say whose credentials it were: several conventions name some, and
// the first wins; and whether there are others by now.
func noteSigner(provider *renewing) func(*middleware.Stack) error {
	noted := middleware.InitializeMiddlewareFunc("millrace:signer", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleInitialize(ctx, in)
		switch {
		case err == nil || !refused(err):
		case expired(err) && provider.renew(ctx):
			err = &renewedError{err}
		default:
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
