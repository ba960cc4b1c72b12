package platform

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestErrorMatches(t *testing.T) {
	var err error = fmt.Errorf("wake: %w", &Error{Kind: Canceled, Node: 3, Err: context.Canceled})
	if !errors.Is(err, Canceled) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v matches neither its kind nor its cause", err)
	}
	if errors.Is(err, Throttled) {
		t.Errorf("%v matches Throttled", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Node != 3 {
		t.Errorf("errors.As(%v) = %+v", err, e)
	}
	if got, want := (&Error{Kind: Exited, Node: 1, Reason: "Runtime.ExitError"}).Error(), "invoke node 1: exited (Runtime.ExitError)"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestEveryKindHasFacts(t *testing.T) {
	names := map[string]Kind{}
	for k := Kind(0); k < kinds; k++ {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
		if other, ok := names[k.String()]; ok {
			t.Errorf("kinds %d and %d are both %q", k, other, k)
		}
		names[k.String()] = k
		if k.InstanceGone() == Yes && k.SessionRan() != Yes {
			t.Errorf("%v takes an instance without a session", k)
		}
	}
	if Kind(200).String() != Unavailable.String() {
		t.Errorf("an unknown kind reads %q", Kind(200))
	}
}
