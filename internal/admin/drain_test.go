package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drainFake is a pool that does as the first node says.
func drainFake(ctx context.Context, nodes []int, progress func(done, total int)) error {
	switch nodes[0] {
	case 1:
		return fmt.Errorf("%w: 5 would be left, 6 needed", ErrSize)
	case 2:
		return ErrBusy
	case 3:
		return fmt.Errorf("%w: 3 given", ErrNoNode)
	case 4:
		progress(1, 2)
		return errors.New("7 chunks could not be moved")
	case 5:
		progress(0, 1)
		<-ctx.Done()
		return context.Cause(ctx)
	case 6:
		return fmt.Errorf("drain: %w", errors.ErrUnsupported)
	}
	for i := range 3 {
		progress(i+1, 3)
	}
	return nil
}

func admitFake(nodes []int) error {
	if slices.Contains(nodes, 7) {
		return nil
	}
	return drainFake(context.Background(), nodes, func(int, int) {})
}

func TestDrainAnswers(t *testing.T) {
	for _, tt := range []struct {
		target string
		code   int
		want   string
	}{
		{"/drain?node=0&node=9", 200, "{\"done\":1,\"total\":3}\n{\"done\":2,\"total\":3}\n{\"done\":3,\"total\":3}\n{\"drained\":[0,9]}\n"},
		{"/drain?node=1", 422, "6 needed"},
		{"/drain?node=2", 409, "under way"},
		{"/drain?node=3", 404, "no such node"},
		{"/drain?node=4", 200, "{\"error\":\"7 chunks could not be moved\"}\n"},
		{"/drain?node=6", 501, "unsupported"},
		{"/drain", 400, `"" given`},
		{"/drain?node=-1&node=x", 400, `"x" given`},
		{"/drain?" + strings.Repeat("node=0&", MaxNodes) + "node=0", 400, "at most 4096"},
		{"/admit?node=7&node=1", 200, `"admitted"`},
		{"/admit?node=2", 409, "under way"},
		{"/admit?node=3", 404, "no such node"},
		{"/admit?node=4", 503, "could not"},
		{"/admit?node=x", 400, `"x" given`},
		{"/admit", 400, `"" given`},
	} {
		code, body := get(t, door(nil), "POST", tt.target)
		if code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("POST %.40s = %d %q, want %d with %q", tt.target, code, body, tt.code, tt.want)
		}
	}
	for _, target := range []string{"/drain?node=0", "/admit?node=0"} {
		if code, _ := get(t, New(Config{}), "POST", target); code != 501 {
			t.Errorf("%s without a hook = %d, want 501", target, code)
		}
		if code, _ := get(t, door(nil), "GET", target); code != 405 {
			t.Errorf("GET %s = %d, want 405", target, code)
		}
		if code, _ := get(t, door(nil), "POST", target, "Sec-Fetch-Site", "cross-site"); code != 403 {
			t.Errorf("a cross-site %s = %d, want 403", target, code)
		}
	}
}

func TestClientDrainsAndAdmits(t *testing.T) {
	c := open(t, door(nil))
	var seen []string
	err := c.Drain(t.Context(), []int{0, 9}, func(done, total int) { seen = append(seen, fmt.Sprint(done, "/", total)) })
	if diff := cmp.Diff([]string{"1/3", "2/3", "3/3"}, seen); err != nil || diff != "" {
		t.Errorf("Drain(0, 9) = %v, progress (-want +got):\n%s", err, diff)
	}
	if err := c.Admit(t.Context(), []int{7, 8}); err != nil {
		t.Errorf("Admit(7, 8) = %v", err)
	}
	for n, want := range map[int]error{1: ErrSize, 2: ErrBusy, 3: ErrNoNode, 6: errors.ErrUnsupported} {
		if err := c.Drain(t.Context(), []int{n}, nil); !errors.Is(err, want) {
			t.Errorf("Drain(%d) = %v, want %v", n, err, want)
		}
		if err := c.Admit(t.Context(), []int{n}); !errors.Is(err, want) {
			t.Errorf("Admit(%d) = %v, want %v", n, err, want)
		}
	}
	if err := c.Drain(t.Context(), []int{4}, nil); err == nil || !strings.Contains(err.Error(), "/drain: 7 chunks") {
		t.Errorf("Drain(4) = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Drain(ctx, []int{5}, func(int, int) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain that is given up = %v", err)
	}
}

// TestDrainThatBreaksOff: an answer without an end is an error.
func TestDrainThatBreaksOff(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"done":1,"total":9}`)
	}))
	defer other.Close()
	c := NewClient(other.Listener.Addr().String())
	defer c.Close()
	if err := c.Drain(t.Context(), []int{9}, nil); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("Drain = %v", err)
	}
}
