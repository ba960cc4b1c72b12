package emulator

import (
	"errors"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func TestReservedConcurrency(t *testing.T) {
	e, c := emptyPlatform(t, Control{Concurrency: 110, MinUnreserved: 100})
	c.create(t, creation("f", nodeZip(t)))
	c.create(t, creation("g", nodeZip(t)))
	c.active(t, "f")
	put := func(name string, n int32) error {
		_, err := c.PutFunctionConcurrency(t.Context(), &sdk.PutFunctionConcurrencyInput{FunctionName: aws.String(name), ReservedConcurrentExecutions: aws.Int32(n)})
		return err
	}
	refused(t, "reserve 11", put("f", 11), "InvalidParameterValueException", "below its minimum value of [100]")
	for _, n := range []int32{10, 9, 1} {
		if err := put("f", n); err != nil {
			t.Errorf("reserve %d: %v", n, err)
		}
	}
	refused(t, "reserve for another", put("g", 10), "InvalidParameterValueException", "[100]")
	settings, err := c.GetAccountSettings(t.Context(), &sdk.GetAccountSettingsInput{})
	if err != nil || settings.AccountLimit.ConcurrentExecutions != 110 || *settings.AccountLimit.UnreservedConcurrentExecutions != 109 || settings.AccountUsage.FunctionCount != 2 {
		t.Errorf("account: %+v, %v", settings, err)
	}

	var session sync.WaitGroup
	session.Go(func() { c.ok(t, "f", `{"op":"sleep","n":1000}`) })
	eventually(t, "session", func() bool { return len(e.Instances()) == 1 })
	_, err = c.invoke(t, "f", `{"op":"echo"}`)
	var many *types.TooManyRequestsException
	if !errors.As(err, &many) || many.Reason != types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded {
		t.Errorf("second session: %v", err)
	}
	session.Wait()
	if _, err := c.DeleteFunctionConcurrency(t.Context(), &sdk.DeleteFunctionConcurrencyInput{FunctionName: aws.String("f")}); err != nil {
		t.Error(err)
	}
	got, err := c.GetFunctionConcurrency(t.Context(), &sdk.GetFunctionConcurrencyInput{FunctionName: aws.String("f")})
	if err != nil || got.ReservedConcurrentExecutions != nil {
		t.Errorf("reservation that is gone: %+v, %v", got, err)
	}
}
