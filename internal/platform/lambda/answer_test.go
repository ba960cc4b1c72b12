package lambda

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/infinicache/infinicache/internal/platform"
)

func TestAnAnswerWithoutEndIsAnError(t *testing.T) {
	chunk := bytes.Repeat([]byte("7"), 1<<20)
	d, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(chunk); err != nil {
				return // the driver hung up
			}
		}
	})
	_, err := d.Invoke(t.Context(), 0, nil)
	if !errors.Is(err, platform.Unavailable) || !strings.Contains(err.Error(), "answer of more than "+strconv.Itoa(maxAnswer)) {
		t.Errorf("Invoke = %v", err)
	}
}
