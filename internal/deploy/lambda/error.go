package lambda

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Kind is why a deployment failed: a closed set. A Kind is itself an error, so
// that errors.Is(err, lambda.Denied) asks whether err is an Error of that kind.
type Kind uint8

const (
	// Unavailable: the platform failed, or the connection to it broke. It is the
	// kind of everything that is not known better.
	Unavailable Kind = iota
	// Credentials: there are none, or they are wrong or expired.
	Credentials
	// Denied: the credentials do not allow an action.
	Denied
	// Unreachable: nobody answers in that region, or at that endpoint.
	Unreachable
	// Throttled: the platform refused for the rate of calls, again and again.
	Throttled
	// Quota: a limit of the account is reached.
	Quota
	// TooLarge: the program is above the platform's limits.
	TooLarge
	// Clash: a name is taken by what is not the pool's.
	Clash
	// Role: the platform cannot use the functions' role.
	Role
	// Network: the platform cannot use the subnets or security groups.
	Network
	// Refused: the platform does not take a setting.
	Refused
	// Missing: a function is gone that was there before.
	Missing
	// Busy: a function is being changed by somebody else, again and again.
	Busy
	// Failed: the platform took a change and could not make it.
	Failed
	// Consent: the plan loses objects, which was not allowed.
	Consent
	// Undrained: nodes could not be drained, so that nothing was done to them.
	Undrained
	// Silent: a function that was updated does not answer.
	Silent

	kinds
)

var kindNames = [kinds]string{
	"unavailable", "no credentials", "denied", "unreachable", "throttled", "quota", "too large", "name clash", "role",
	"network", "refused", "missing", "busy", "failed", "not allowed", "not drained", "no answer",
}

// mends says what can be done about each kind.
var mends = [kinds]string{
	Unavailable: "run the same again; it goes on where it was",
	Credentials: "give valid ones the AWS SDK's way: AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `aws sso login`, or a role of this machine",
	Denied:      "allow it; `infinicache deploy lambda --policy deployer` prints the policy that is needed",
	Unreachable: "see that region is one of AWS, in the pool file or AWS_REGION, and that this machine reaches the network",
	Throttled:   "run the same again; it goes on where it was",
	Quota:       "ask for more in the Service Quotas console, or deploy fewer nodes or less concurrency",
	TooLarge:    "strip the program",
	Role:        "see that the role exists and that its trust policy is that of `infinicache deploy lambda --policy trust`",
	Network:     "see that subnets and security groups are of one VPC in this region, that subnets have free addresses, and that the role has the policy of `--policy function`",
	Refused:     "change the pool file",
	Missing:     "run the same again, which creates it",
	Busy:        "wait until nobody else changes it, then run the same again; it goes on where it was",
	Failed:      "mend that, then run the same again; it goes on where it was",
	Consent:     "name the proxy with --admin, so that nodes are drained first, or allow it with --undrained instead",
	Undrained:   "see why with `infinicache nodes`, let whoever else drains or resizes finish, then run the same again; --undrained instead of --admin allows losses",
	Silent:      "see the function's logs, then deploy a program and settings that work",
}

// String returns the kind's name.
func (k Kind) String() string { return kindNames[k] }

// Error makes a Kind a target for errors.Is.
func (k Kind) Error() string { return k.String() }

// Error is how a deployment fails.
type Error struct {
	Kind Kind
	// Doing is what was attempted, such as "create function cache-3"; it may be
	// empty.
	Doing string
	// Action is what was denied, such as lambda:CreateFunction, if that is known.
	Action string
	// Mend is what to do about it.
	Mend string
	Err  error
}

func (e *Error) Error() string {
	text := e.Kind.String()
	if e.Doing != "" {
		text = e.Doing + ": " + text
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Mend != "" {
		text += " (" + e.Mend + ")"
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// kindsOfCodes are the platform's error codes. A code that is not here is judged
// by its HTTP status.
var kindsOfCodes = map[string]Kind{
	"AccessDeniedException":               Denied,
	"AccessDenied":                        Denied,
	"UnauthorizedOperation":               Denied,
	"UnrecognizedClientException":         Credentials,
	"InvalidSignatureException":           Credentials,
	"SignatureDoesNotMatch":               Credentials,
	"IncompleteSignatureException":        Credentials,
	"IncompleteSignature":                 Credentials,
	"MissingAuthenticationTokenException": Credentials,
	"MissingAuthenticationToken":          Credentials,
	"ExpiredTokenException":               Credentials,
	"ExpiredToken":                        Credentials,
	"InvalidClientTokenId":                Credentials,
	"RequestExpired":                      Credentials,

	"TooManyRequestsException": Throttled,
	"ThrottlingException":      Throttled,
	"Throttling":               Throttled,

	"CodeStorageExceededException":         Quota,
	"LimitExceededException":               Quota,
	"ServiceQuotaExceededException":        Quota,
	"RequestTooLargeException":             TooLarge,
	"RequestEntityTooLargeException":       TooLarge,
	"InvalidSubnetIDException":             Network,
	"InvalidSecurityGroupIDException":      Network,
	"SubnetIPAddressLimitReachedException": Network,
	"ENILimitReachedException":             Network,
	"EC2AccessDeniedException":             Network,
	"ResourceNotFoundException":            Missing,
	"ResourceConflictException":            Busy,
	"ResourceInUseException":               Busy,
	"OperationAbortedException":            Busy,
}

// cannotBeAssumed marks the refusal of a role, which is temporary where the role
// is new.
const cannotBeAssumed = "cannot be assumed by Lambda"

var (
	deniedAction   = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)
	belowUnreserve = regexp.MustCompile(`(?i)UnreservedConcurrentExecutions? below`)
)

// failure makes an Error of what a call returned; nil of nil.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	e := &Error{Kind: Unavailable, Doing: doing, Err: err}
	var unsent *smithyhttp.RequestSendError
	var dial *net.OpError
	var response *smithyhttp.ResponseError
	switch {
	case errors.As(err, &unsent):
		e.Err = unsent.Err
		if errors.As(err, &dial) && dial.Op == "dial" {
			e.Kind = Unreachable
		}
	case errors.As(err, &response):
		e.Kind = kindOfStatus(response.HTTPStatusCode())
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if kind, ok := kindsOfCodes[api.ErrorCode()]; ok {
			e.Kind = kind
		}
		text := api.ErrorMessage()
		switch {
		case strings.Contains(text, cannotBeAssumed):
			e.Kind = Role
		case belowUnreserve.MatchString(text):
			e.Kind = Quota
		case strings.Contains(text, "Unzipped size must be smaller"):
			e.Kind = TooLarge
		}
		if found := deniedAction.FindStringSubmatch(text); e.Kind == Denied && found != nil {
			e.Action = found[1]
		}
		e.Err = &answer{api.ErrorCode(), text, err}
	}
	var strange *smithy.DeserializationError
	if errors.As(err, &strange) && e.Kind != Throttled {
		e.Kind = Unreachable
		e.Err = &foreign{err}
		e.Mend = "see that --endpoint, or the HTTP proxy of this machine, leads to that API"
		return e
	}
	e.Mend = mends[e.Kind]
	if e.Action == "iam:PassRole" {
		e.Mend = "allow iam:PassRole for the functions' role; `infinicache deploy lambda --policy deployer` has it"
	}
	return e
}

// answer is an error of the platform without the SDK's words around it.
type answer struct {
	code, text string
	err        error
}

func (a *answer) Error() string { return fmt.Sprintf("%s: %s", or(a.code, "UnknownError"), a.text) }
func (a *answer) Unwrap() error { return a.err }

// foreign is an error of what answers in the place of the platform.
type foreign struct{ err error }

func (s *foreign) Error() string {
	var response *smithyhttp.ResponseError
	if errors.As(s.err, &response) {
		return fmt.Sprintf("what answers does not speak the API of AWS Lambda (HTTP %d)", response.HTTPStatusCode())
	}
	return "what answers does not speak the API of AWS Lambda"
}

func (s *foreign) Unwrap() error { return s.err }

func kindOfStatus(status int) Kind {
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusNotFound:
		return Missing
	case status == http.StatusConflict:
		return Busy
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Denied
	case status >= 400 && status < 500:
		return Refused
	}
	return Unavailable
}

// code is the platform's word for an error; empty if it gave none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
