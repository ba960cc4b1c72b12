package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPartsEndInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []string
		wait := func(name string, takes time.Duration) part {
			return part{name, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(takes)
				ended = append(ended, name)
				return nil
			}}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ready := false
		err := runParts(ctx, []part{wait("ground", 0), wait("middle", time.Minute), wait("top", time.Hour)}, func() { ready = true })
		if err != nil || !ready || !slices.Equal(ended, []string{"top", "middle", "ground"}) {
			t.Errorf("ended %v, ready %t, error %v", ended, ready, err)
		}
	})
}

func TestPartThatFails(t *testing.T) {
	broken := errors.New("broken")
	others := 0
	err := runParts(t.Context(), []part{
		{"one", func(ctx context.Context) error { <-ctx.Done(); others++; return nil }},
		{"two", func(context.Context) error { return broken }},
		{"three", func(ctx context.Context) error { <-ctx.Done(); others++; return nil }},
	}, func() {})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "two ended unexpectedly") || others != 2 {
		t.Errorf("error %v, %d others ended", err, others)
	}
}
