package emulator

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func TestThrottle(t *testing.T) {
	_, c := emptyPlatform(t, Control{Rate: 1, GetFunctionRate: 2})
	c.create(t, creation("f", zipOf(zipped{"bootstrap", 0o755, nil})))
	calls := func(most int, call func() error) (refusal error) {
		for range most {
			if err := call(); err != nil {
				return err
			}
		}
		return nil
	}
	err := calls(1000, func() error {
		_, err := c.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: aws.String("f")})
		return err
	})
	var many *types.TooManyRequestsException
	if !errors.As(err, &many) || many.Reason != types.ThrottleReasonCallerRateLimitExceeded {
		t.Errorf("1000 calls at once: %v", err)
	}
	get := func() error {
		_, err := c.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: aws.String("f")})
		return err
	}
	if err := calls(2, get); err != nil {
		t.Errorf("GetFunction has a rate of its own: %v", err)
	}
	if err := calls(1000, get); !errors.As(err, &many) {
		t.Errorf("1000 GetFunctions at once: %v", err)
	}
	// The SDK's own retries get through.
	patient := sdk.New(c.Options(), func(o *sdk.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 10 })
	})
	if _, err := patient.ListTags(t.Context(), &sdk.ListTagsInput{Resource: aws.String(functionARN("f"))}); err != nil {
		t.Errorf("with retries: %v", err)
	}
}

func TestFaults(t *testing.T) {
	e, c := emptyPlatform(t, Control{Faults: []Fault{
		{Operation: "CreateFunction", Call: 2, Status: 500, Type: "ServiceException", Message: "not today"},
		{Operation: "CreateFunction", Call: 4, Status: 429, Type: "TooManyRequestsException", Late: true},
		{Call: 6, Status: 403, Type: "AccessDeniedException", Message: "who are you"},
	}})
	code := zipOf(zipped{"bootstrap", 0o755, nil})
	create := func(name string) error {
		_, err := c.CreateFunction(t.Context(), creation(name, code))
		return err
	}
	if err := create("a"); err != nil {
		t.Error(err)
	}
	refused(t, "second call", create("b"), "ServiceException", "not today")
	if err := create("b"); err != nil {
		t.Error(err)
	}
	refused(t, "fourth call", create("c"), "TooManyRequestsException", "")
	refused(t, "fifth call", create("c"), "ResourceConflictException", "already exist")
	_, err := c.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: aws.String("a")})
	refused(t, "sixth of all calls", err, "AccessDeniedException", "who are you")
	if n := e.Calls("CreateFunction"); n != 5 {
		t.Errorf("%d calls", n)
	}
}
