package lambda

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/infinicache/infinicache/internal/platform"
)

// held makes a driver whose calls tell of their begin and last until release is
// closed.
func held(t *testing.T, sessions int) (d *Driver, began chan struct{}, release chan struct{}) {
	t.Helper()
	began, release = make(chan struct{}, 100), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began <- struct{}{}
		<-release
	}))
	t.Cleanup(srv.Close)
	d, err := New(Config{AWS: Local(srv.URL), Prefix: "n", Sessions: sessions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, began, release
}

func TestBudgetRefusesWithoutACall(t *testing.T) {
	d, began, release := held(t, 2)
	var calls sync.WaitGroup
	for node := range 2 {
		calls.Go(func() {
			if _, err := d.Invoke(t.Context(), node, nil); err != nil {
				t.Errorf("node %d: %v", node, err)
			}
		})
		<-began
	}
	for range 3 {
		_, err := d.Invoke(t.Context(), 7, nil)
		var e *platform.Error
		if !errors.As(err, &e) || e.Kind != platform.Throttled || e.Reason != "concurrency budget" || e.Node != 7 || !strings.Contains(err.Error(), "2 sessions") {
			t.Errorf("beyond the budget: %v", err)
		}
	}
	if n := len(began); n != 0 {
		t.Errorf("%d calls were made beyond the budget", n)
	}
	close(release)
	calls.Wait()
	for range 3 { // what ended is given back, and so is what was refused
		if _, err := d.Invoke(t.Context(), 7, nil); err != nil {
			t.Errorf("within the budget: %v", err)
		}
	}
}

func TestNoBudgetIsNoBound(t *testing.T) {
	d, began, release := held(t, 0)
	var calls sync.WaitGroup
	for node := range 50 {
		calls.Go(func() {
			if _, err := d.Invoke(t.Context(), node, nil); err != nil {
				t.Errorf("node %d: %v", node, err)
			}
		})
	}
	for range 50 {
		<-began
	}
	close(release)
	calls.Wait()
}
