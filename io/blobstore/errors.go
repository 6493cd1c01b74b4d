package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// ErrStore says that a store did not do what it was asked for.
var ErrStore = errors.New("object store")

// cleanError is an error of a store's client in words that have no secret in them.
type cleanError struct {
	text  string
	cause error
}

func (e *cleanError) Error() string   { return e.text }
func (e *cleanError) Unwrap() []error { return []error{ErrStore, e.cause} }

// Clean gives an error of a bucket in one line without secrets: neither what stands in
// the parameters of URLs, where signatures are, nor the values of variables that hold
// credentials. The error wraps ErrStore and what it was.
func Clean(err error) error {
	var clean *cleanError
	if err == nil || errors.As(err, &clean) || errors.Is(err, ErrOptions) || errors.Is(err, ErrURI) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		return err
	}
	return &cleanError{text: scrub(wording(err)), cause: err}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// wording is what is worth saying of an error: of a store's answer its code and words,
// else the innermost reason of the wrapped ones.
func wording(err error) string {
	if hint := elsewhere(err); hint != "" {
		return answerOf(err) + "; " + hint
	}
	return answerOf(err)
}

// answerOf is wording without what an answer says of another place.
func answerOf(err error) string {
	status := statusOf(err)
	var api smithy.APIError
	var google *googleapi.Error
	var azure *azcore.ResponseError
	var signed *signedError
	switch {
	case noCredentials(err) && refusedCredentials(err) != "":
		return "no credentials: " + oneLine(refusedCredentials(err)) + "; see docs/stores.md"
	case noCredentials(err):
		return "no credentials were found where the store's own tools look (s3: AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, ~/.aws, the container's or machine's role; gs: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, the metadata server; az: AZURE_STORAGE_KEY and so on); see docs/stores.md"
	case errors.As(err, &signed):
		return refusedTo(err) + answerOf(signed.cause) + ", and the request was signed with those of " + oneLine(signed.source)
	case errors.As(err, &api):
		return refusedTo(err) + answer(status, api.ErrorCode(), api.ErrorMessage())
	case errors.As(err, &google):
		return answer(status, "", google.Message)
	case errors.As(err, &azure):
		return answer(status, azure.ErrorCode, "")
	case status >= 200 && status < 300:
		return oneLine(fmt.Sprintf("the answer (HTTP %d) cannot be read: %s", status, innermost(err)))
	case status != 0:
		return answer(status, "", "")
	}
	return oneLine(innermost(err))
}

// refusedTo begins to say which right it is that a request lacks: AWS names them like that.
func refusedTo(err error) string {
	var op *smithy.OperationError
	if statusOf(err) != http.StatusForbidden || !errors.As(err, &op) {
		return ""
	}
	return op.Operation() + " was refused: "
}

// innermost is what is worth saying of an error that is no store's answer.
func innermost(err error) string {
	var op *net.OpError
	var get *url.Error
	var unread *smithy.DeserializationError
	var call *smithy.OperationError
	var tried *retry.MaxAttemptsError
	text := err.Error()
	switch {
	case errors.As(err, &op):
		text = op.Error()
	case errors.As(err, &get):
		text = get.Err.Error()
	case errors.As(err, &unread):
		text = unread.Err.Error()
	case errors.As(err, &tried):
		text = tried.Err.Error()
	case errors.As(err, &call):
		text = call.Err.Error()
	}
	switch {
	case text == io.EOF.Error():
		text = "the connection ended before an answer came"
	case isTimeout(err):
		text = "the connection stalled: " + text
	case strings.Contains(text, plainAnswer):
		text += "; it speaks plain HTTP: write http:// in --endpoint"
	}
	return text
}

// plainAnswer is what net/http says of a server that does not speak TLS.
const plainAnswer = "server gave HTTP response to HTTPS client"

// answer words a store's answer, and what to do about the usual ones.
func answer(status int, code, message string) string {
	text := strings.TrimSpace(code + ": " + oneLine(message))
	if text = strings.Trim(text, ": "); text == "" {
		text = "an answer without words"
	}
	if status != 0 {
		text = fmt.Sprintf("%s (HTTP %d)", text, status)
	}
	switch {
	case code == "RequestTimeTooSkewed":
		text += "; the clocks of this machine and of the store differ: set this one right"
	case slices.Contains(refusals, code), status == http.StatusForbidden, status == http.StatusUnauthorized:
		text += "; see docs/stores.md for where credentials come from"
	}
	return text
}

// regionHeader is where S3 says which region a bucket lies in.
const regionHeader = "X-Amz-Bucket-Region"

// elsewhere says where S3 has a bucket that was asked for in another place; empty where it does
// not speak of one. A redirect by 307 the client follows, without a signature for where it leads.
func elsewhere(err error) string {
	var answered *awshttp.ResponseError
	if !errors.As(err, &answered) || answered.Response == nil || answered.Response.Response == nil {
		return ""
	}
	from := answered.Response.Response
	if from.Request != nil && from.Request.Response != nil { // the redirect that led there
		from = from.Request.Response
	}
	var api smithy.APIError
	malformed := errors.As(err, &api) && api.ErrorCode() == "AuthorizationHeaderMalformed"
	redirected := slices.Contains([]int{http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}, from.StatusCode)
	region := oneLine(from.Header.Get(regionHeader))
	switch {
	case region != "" && (redirected || from.StatusCode == http.StatusBadRequest):
		return fmt.Sprintf("the bucket lies in the region %s: set AWS_REGION=%[1]s", region)
	case malformed:
		return "where it speaks of a region, set AWS_REGION to the one that it expects"
	case !redirected:
		return ""
	}
	place := ""
	if to, err := url.Parse(from.Header.Get("Location")); err == nil && to.Host != "" {
		place = fmt.Sprintf(" (the answer leads to %s)", oneLine(to.Host))
	}
	return "the bucket lies in another region, or at another server" + place + ": set AWS_REGION, or --endpoint"
}

// statusOf is the HTTP status of a store's answer; 0 where there was none.
func statusOf(err error) int {
	var aws *awshttp.ResponseError
	var google *googleapi.Error
	var azure *azcore.ResponseError
	switch {
	case errors.As(err, &aws):
		return aws.HTTPStatusCode()
	case errors.As(err, &google):
		return google.Code
	case errors.As(err, &azure):
		return azure.StatusCode
	}
	return 0
}

// gone says that there is no such object or bucket.
func gone(err error) bool {
	return statusOf(err) == http.StatusNotFound || gcerrors.Code(err) == gcerrors.NotFound
}

// unmet says that a condition of the request did not hold: what was asked for has changed,
// or is there already.
func unmet(err error) bool {
	return slices.Contains([]int{http.StatusPreconditionFailed, http.StatusConflict}, statusOf(err)) || gcerrors.Code(err) == gcerrors.FailedPrecondition
}

// passing says that an error may be gone at another attempt: a connection's, or an answer
// of a server that is busy or broken.
func passing(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrOptions) || errors.Is(err, ErrURI) {
		return false
	}
	if _, renewed := errors.AsType[*renewedError](err); renewed {
		return true
	}
	switch status := statusOf(err); {
	case status == 0, status >= 500, status < 300:
		return !noCredentials(err) && !strings.Contains(err.Error(), plainAnswer)
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return true
	case status == http.StatusForbidden:
		// The client sets its clock by the answer, and the next request by that.
		var api smithy.APIError
		return errors.As(err, &api) && api.ErrorCode() == "RequestTimeTooSkewed"
	case status == http.StatusBadRequest:
		// S3 words timeouts of a connection so.
		var api smithy.APIError
		return errors.As(err, &api) && (api.ErrorCode() == "RequestTimeout" || api.ErrorCode() == "IncompleteBody")
	}
	return false
}

// noCredentials says that a client found none to sign a request with.
func noCredentials(err error) bool {
	text := err.Error()
	return strings.Contains(text, "get credentials") || strings.Contains(text, "failed to refresh cached credentials") || strings.Contains(text, "could not find default credentials") || strings.Contains(text, "DefaultAzureCredential")
}

// refusedCredentials says why a place that names credentials gave none; empty where there was no
// such place. What a program printed that should give some is not in it.
func refusedCredentials(err error) string {
	var call *smithy.OperationError
	for at := err; errors.As(at, &call); {
		at = call.Err
	}
	var exit *exec.ExitError
	text := err.Error()
	switch {
	case strings.Contains(text, "SSO token"), strings.Contains(text, "SSO session"):
		return "the profile's session of AWS IAM Identity Center (SSO) is over, or was not begun: aws sso login begins one"
	case errors.As(err, &exit):
		return "the profile's credential_process failed: " + exit.Error()
	case strings.Contains(text, "process provider error"):
		return "the profile's credential_process gave none"
	case call != nil && call.Service() != "S3" && call.Service() != "ec2imds":
		return call.Service() + ", " + call.Operation() + ": " + answerOf(call.Err)
	}
	return ""
}

// secretVariables are those of the environment whose values no message may have.
var secretVariables = []string{
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID",
	"AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_CLIENT_SECRET",
}

// parameters are those of a URL in a text.
var parameters = regexp.MustCompile(`(https?://[^\s"'?]*)\?[^\s"']*`)

// credentialsInURL are those before a host.
var credentialsInURL = regexp.MustCompile(`(https?://)[^\s/"'@]*@`)

// scrub takes secrets out of a text.
func scrub(text string) string {
	text = parameters.ReplaceAllString(text, "$1")
	text = credentialsInURL.ReplaceAllString(text, "$1")
	for _, name := range secretVariables {
		if value := os.Getenv(name); len(value) > 3 {
			text = strings.ReplaceAll(text, value, "xxxxx")
		}
	}
	return text
}

// oneLine is a text without line breaks and of a bounded length: it may be a server's.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "�")), " ")
	if len(text) > 400 {
		text = strings.ToValidUTF8(text[:400], "") + "…"
	}
	return text
}
