package emulator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

const testRole = "arn:aws:iam::123456789012:role/node"

// emptyPlatform starts an emulator without functions.
func emptyPlatform(t *testing.T, control Control) (*Emulator, client) {
	t.Helper()
	e, err := New(Config{Control: control})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e)
	return e, newClient(t, e)
}

func creation(name string, code []byte) *sdk.CreateFunctionInput {
	return &sdk.CreateFunctionInput{
		FunctionName: aws.String(name), Role: aws.String(testRole), Runtime: types.RuntimeProvidedal2023,
		Handler: aws.String("bootstrap"), Code: &types.FunctionCode{ZipFile: code},
		MemorySize: aws.Int32(256), Timeout: aws.Int32(20),
	}
}

func (c client) create(t *testing.T, in *sdk.CreateFunctionInput) *sdk.CreateFunctionOutput {
	t.Helper()
	out, err := c.CreateFunction(t.Context(), in)
	if err != nil {
		t.Fatalf("CreateFunction(%s) = %v", *in.FunctionName, err)
	}
	return out
}

// active waits until a function is created.
func (c client) active(t *testing.T, name string) {
	t.Helper()
	w := sdk.NewFunctionActiveV2Waiter(c, func(o *sdk.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 20*time.Millisecond
	})
	if err := w.Wait(t.Context(), &sdk.GetFunctionInput{FunctionName: &name}, time.Minute); err != nil {
		t.Fatalf("%s is not active: %v", name, err)
	}
}

// updated waits until an update of a function is done.
func (c client) updated(t *testing.T, name string) {
	t.Helper()
	w := sdk.NewFunctionUpdatedV2Waiter(c, func(o *sdk.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 20*time.Millisecond
	})
	if err := w.Wait(t.Context(), &sdk.GetFunctionInput{FunctionName: &name}, time.Minute); err != nil {
		t.Fatalf("%s is not updated: %v", name, err)
	}
}

// refused complains unless err is an API error of that type that says so.
func refused(t *testing.T, what string, err error, kind, says string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != kind || !strings.Contains(api.ErrorMessage(), says) {
		t.Errorf("%s = %v, want %s with %q", what, err, kind, says)
	}
}

func TestFunctionLifecycle(t *testing.T) {
	t.Parallel()
	const takes = 3 * time.Second // several calls come meanwhile
	e, c := emptyPlatform(t, Control{CreateTime: takes, UpdateTime: takes})
	in := creation("node-3", nodeZip(t))
	in.Environment = &types.Environment{Variables: map[string]string{"COLOR": "blue", roleVar: "environment"}}
	in.Tags = map[string]string{"pool": "test"}
	created := c.create(t, in)
	if created.State != types.StatePending || created.StateReasonCode != types.StateReasonCodeCreating || created.LastUpdateStatus != "" {
		t.Errorf("created: %s %s %s", created.State, created.StateReasonCode, created.LastUpdateStatus)
	}
	_, err := c.invoke(t, "node-3", `{}`)
	refused(t, "Invoke", err, "ResourceConflictException", "currently in the following state: Pending")
	_, err = c.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: in.FunctionName, Timeout: aws.Int32(9)})
	refused(t, "update", err, "ResourceConflictException", "Pending")
	_, err = c.CreateFunction(t.Context(), in)
	refused(t, "second creation", err, "ResourceConflictException", "Function already exist: node-3")
	c.active(t, "node-3")

	if got := c.ok(t, "node-3", `{}`); !strings.Contains(got, `"COLOR=blue"`) || !strings.Contains(got, `"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256"`) {
		t.Errorf("environment: %s", got)
	}
	before := e.Instances()[0]
	if before.Node != 3 || before.Function != "node-3" || e.Nodes() != 4 {
		t.Errorf("instance %+v of %d nodes", before, e.Nodes())
	}

	updated, err := c.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{
		FunctionName: in.FunctionName, MemorySize: aws.Int32(512), RevisionId: aws.String(e.lookup("node-3").revision),
		Environment: &types.Environment{Variables: map[string]string{"COLOR": "red", roleVar: "environment"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if updated.LastUpdateStatus != types.LastUpdateStatusInProgress || *updated.MemorySize != 512 || updated.State != types.StateActive {
		t.Errorf("updated: %s %d %s", updated.LastUpdateStatus, *updated.MemorySize, updated.State)
	}
	_, err = c.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: in.FunctionName, Timeout: aws.Int32(9)})
	refused(t, "update in an update", err, "ResourceConflictException", "An update is in progress for resource: arn:aws:lambda:us-east-1:000000000000:function:node-3")
	c.updated(t, "node-3")
	if alive(before.PID) {
		eventually(t, "the old instance's end", func() bool { return !alive(before.PID) })
	}
	out, err := c.invoke(t, "node-3", `{}`)
	if err != nil || !strings.Contains(string(out.Payload), `"COLOR=red"`) {
		t.Fatalf("after the update: %s, %v", out.Payload, err)
	}
	if tail := decodeTail(t, out); !strings.Contains(tail, "Init Duration") || !strings.Contains(tail, "Memory Size: 512 MB") {
		t.Errorf("after the update: %q", tail)
	}

	_, err = c.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: in.FunctionName, RevisionId: created.RevisionId})
	refused(t, "update of an old revision", err, "PreconditionFailedException", "Revision Id")
	if _, err := c.DeleteFunction(t.Context(), &sdk.DeleteFunctionInput{FunctionName: in.FunctionName}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DeleteFunction(t.Context(), &sdk.DeleteFunctionInput{FunctionName: in.FunctionName})
	refused(t, "second deletion", err, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:node-3")
	_, err = c.invoke(t, "node-3", `{}`)
	refused(t, "Invoke of what is gone", err, "ResourceNotFoundException", ":$LATEST")
	if n := len(e.Instances()); n != 0 {
		t.Errorf("%d instances of no function", n)
	}
	c.create(t, in)
	c.active(t, "node-3")
	c.ok(t, "node-3", `{}`)
}

// TestSessionOutlivesItsDefinition: a session that an update or a deletion meets
// ends as it began, and its instance serves no other.
func TestSessionOutlivesItsDefinition(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c client, ctx context.Context) error
	}{
		{"update", func(c client, ctx context.Context) error {
			_, err := c.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("node-0"), Timeout: aws.Int32(1)})
			return err
		}},
		{"delete", func(c client, ctx context.Context) error {
			_, err := c.DeleteFunction(ctx, &sdk.DeleteFunctionInput{FunctionName: aws.String("node-0")})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, c := emptyPlatform(t, Control{})
			c.create(t, creation("node-0", nodeZip(t)))
			c.active(t, "node-0")
			var session sync.WaitGroup
			session.Go(func() { c.ok(t, "node-0", `{"op":"sleep","n":1500}`) })
			eventually(t, "session", func() bool {
				all := e.Instances()
				return len(all) == 1 && all[0].State == Running
			})
			pid := e.Instances()[0].PID
			if err := tt.change(c, t.Context()); err != nil {
				t.Fatal(err)
			}
			if tt.name == "update" {
				c.updated(t, "node-0") // before the session is over
			}
			session.Wait()
			eventually(t, "the instance's end", func() bool { return !alive(pid) })
			if n := len(e.Instances()); n != 0 {
				t.Errorf("%d instances", n)
			}
		})
	}
}

func TestListFunctionsPages(t *testing.T) {
	e, c := emptyPlatform(t, Control{Unthrottled: true})
	code := zipOf(zipped{"bootstrap", 0o755, nil})
	const n = 120
	for i := range n {
		c.create(t, creation(fmt.Sprintf("f%03d", i), code))
	}
	var names []string
	pages := sdk.NewListFunctionsPaginator(c, &sdk.ListFunctionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Functions) > maxPage {
			t.Errorf("page of %d", len(page.Functions))
		}
		for _, fn := range page.Functions {
			names = append(names, *fn.FunctionName)
			if fn.State != "" || fn.LastUpdateStatus != "" {
				t.Errorf("listing has state %q, %q", fn.State, fn.LastUpdateStatus)
			}
		}
	}
	if len(names) != n || names[0] != "f000" || names[n-1] != "f119" {
		t.Errorf("%d functions: %v", len(names), names)
	}
	if got := e.Calls("ListFunctions"); got != 3 {
		t.Errorf("%d pages", got)
	}
}

// TestResizeSeesDeployedFunctions: whoever deployed a node's function, Resize
// counts it.
func TestResizeSeesDeployedFunctions(t *testing.T) {
	e, err := New(Config{Binary: self(t)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e)
	c := newClient(t, e)
	for _, name := range []string{"node-1", "node-01", "other-7", "node-5"} {
		c.create(t, creation(name, nodeZip(t)))
	}
	if n := e.Nodes(); n != 6 {
		t.Errorf("%d nodes, highest number 5", n)
	}
	c.ok(t, "node-1", `{"op":"echo"}`)
	c.ok(t, "other-7", `{"op":"echo"}`)
	if _, err := e.Reclaim([]int{0}, false); !errors.Is(err, ErrNoNode) {
		t.Errorf("Reclaim of a gap = %v", err)
	}
	if _, err := e.Reclaim([]int{-1}, false); !errors.Is(err, ErrNoNode) {
		t.Errorf("Reclaim(-1) = %v", err)
	}
	if counts, err := e.Reclaim([]int{1}, false); err != nil || counts[0] != 1 {
		t.Errorf("Reclaim(1) = %v, %v", counts, err)
	}
	if err := e.Resize(2); err != nil || e.Nodes() != 2 {
		t.Errorf("Resize(2) = %v, %d nodes", err, e.Nodes())
	}
	c.ok(t, "node-0", `{"op":"echo"}`)
	c.ok(t, "node-1", `{"op":"echo"}`)
	c.ok(t, "other-7", `{"op":"echo"}`)
	_, err = c.invoke(t, "node-5", `{}`)
	refused(t, "node-5", err, "ResourceNotFoundException", "node-5")
}

func TestEmptyPlatformHasNothingToDeploy(t *testing.T) {
	e, _ := emptyPlatform(t, Control{})
	if err := e.Resize(3); !errors.Is(err, ErrSize) {
		t.Errorf("Resize without Binary = %v", err)
	}
	if e.Nodes() != 0 {
		t.Errorf("%d nodes", e.Nodes())
	}
}
