package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/infinicache/infinicache"
)

func TestRefusedPutsFailAReplay(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		errs []error
		want string
	}{
		{"none", t.Context(), []error{nil, nil}, ""},
		{"no room", t.Context(), []error{fmt.Errorf("put: %w", infinicache.ErrFull), infinicache.ErrTooLarge}, ""},
		{"interrupted", ended, []error{context.Canceled}, ""},
		{"others", t.Context(), []error{infinicache.ErrFull, infinicache.ErrUnavailable, errors.New("reset")}, "2 PUTs refused, the first: "},
	} {
		var c replayCache
		for _, err := range tt.errs {
			c.count(tt.ctx, err)
		}
		err := c.judge()
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, infinicache.ErrUnavailable) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
