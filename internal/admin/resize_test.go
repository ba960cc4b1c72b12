package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// resizeFake is a pool of 14 nodes that does as the wanted number says.
func resizeFake(ctx context.Context, nodes int, progress func(done, total int)) (int, error) {
	switch nodes {
	case 1:
		return 14, fmt.Errorf("%w: 1 given, 12 needed", ErrSize)
	case 2:
		return 14, ErrBusy
	case 3:
		return 14, fmt.Errorf("resize: %w", errors.ErrUnsupported)
	case 4:
		progress(1, 2)
		return 14, errors.New("node 5 is not drained")
	case 5:
		progress(0, 1)
		<-ctx.Done()
		return 14, context.Cause(ctx)
	}
	for i := range 3 {
		progress(i+1, 3)
	}
	return 14, nil
}

func TestResizeAnswers(t *testing.T) {
	for _, tt := range []struct {
		target string
		code   int
		want   string
	}{
		{"/resize?nodes=20", 200, "{\"done\":3,\"total\":3}\n{\"nodes\":20,\"before\":14}\n"},
		{"/resize?nodes=1", 422, "12 needed"},
		{"/resize?nodes=2", 409, "under way"},
		{"/resize?nodes=3", 501, "unsupported"},
		{"/resize?nodes=4", 200, `{"error":"node 5 is not drained"}`},
		{"/resize?nodes=0", 400, `"0" given, 1 to 4096`},
		{"/resize?nodes=4097", 400, "1 to 4096"},
		{"/resize?nodes=many", 400, "1 to 4096"},
		{"/resize", 400, "1 to 4096"},
	} {
		code, body := get(t, door(nil), "POST", tt.target)
		if code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("POST %s = %d %q, want %d with %q", tt.target, code, body, tt.code, tt.want)
		}
	}
	if code, _ := get(t, New(Config{}), "POST", "/resize?nodes=3"); code != 501 {
		t.Errorf("resize without a hook = %d, want 501", code)
	}
}

func TestClientResize(t *testing.T) {
	c := open(t, door(nil))
	var seen []string
	before, err := c.Resize(t.Context(), 20, func(done, total int) { seen = append(seen, fmt.Sprint(done, "/", total)) })
	if diff := cmp.Diff([]string{"1/3", "2/3", "3/3"}, seen); before != 14 || err != nil || diff != "" {
		t.Errorf("Resize(20) = %d, %v, progress (-want +got):\n%s", before, err, diff)
	}
	for n, want := range map[int]error{1: ErrSize, 2: ErrBusy, 3: errors.ErrUnsupported} {
		if _, err := c.Resize(t.Context(), n, nil); !errors.Is(err, want) {
			t.Errorf("Resize(%d) = %v, want %v", n, err, want)
		}
	}
	if _, err := c.Resize(t.Context(), 4, nil); err == nil || !strings.Contains(err.Error(), "not drained") {
		t.Errorf("Resize(4) = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Resize(ctx, 5, func(int, int) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("Resize that is given up = %v", err)
	}
}

// TestResizeThatBreaksOff: an answer without an end is an error.
func TestResizeThatBreaksOff(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"done":1,"total":9}`)
	}))
	defer other.Close()
	c := NewClient(other.Listener.Addr().String())
	defer c.Close()
	if _, err := c.Resize(t.Context(), 9, nil); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("Resize = %v", err)
	}
}
