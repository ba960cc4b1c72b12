package knative

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestSpreadWithoutTheFeature sees that a preference gives way to a Knative that
// knows no spreading, with a warning, and that a requirement does not.
func TestSpreadWithoutTheFeature(t *testing.T) {
	for _, tt := range []struct {
		name, spread, feature string
		constrained, warned   bool
	}{
		{"preferred, off", Preferred, "disabled", false, true},
		{"preferred, not set", Preferred, "", false, true},
		{"preferred, on", Preferred, "Enabled", true, false},
		{"required, off", Required, "disabled", true, false},
		{"none, off", None, "disabled", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAPIServer(t)
			settings := m{}
			if tt.feature != "" {
				settings[spreadFeature] = tt.feature
			}
			configure(s, featuresMap, settings)
			p := load(t, "small.yaml")
			p.Spread = tt.spread
			d := deployerFor(t, s, p, nil)
			var told []string
			d.progress = func(line string) { told = append(told, line) }
			if err := deployPool(t, d); err != nil {
				t.Fatal(err)
			}
			live := s.live(knativePath + "cache-0")
			if _, found, _ := unstructured.NestedSlice(live.Object, "spec", "template", "spec", "topologySpreadConstraints"); found != tt.constrained {
				t.Errorf("a node's service is constrained: %t, want %t", found, tt.constrained)
			}
			if warned := strings.Contains(strings.Join(told, "\n"), "warning: spread"); warned != tt.warned {
				t.Errorf("warned: %t, want %t, in %q", warned, tt.warned, told)
			}
			if plan, err := d.Plan(t.Context()); err != nil || len(plan.Changes()) > 0 {
				t.Errorf("a second plan is %v, %v, want nothing", plan.Changes(), err)
			}
		})
	}
}
