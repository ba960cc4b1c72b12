package knative

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// shape is what the Cloud Run Admin API v1 takes at a place: a JSON type, and the
// fields of an object. "*" stands for any field.
type shape struct {
	Type   string            `json:"type"`
	Fields map[string]*shape `json:"fields"`
	Items  *shape            `json:"items"`
	OneOf  []any             `json:"oneOf"`
}

// complain says where a value is not of the shape.
func (s *shape) complain(at string, value any) (all []string) {
	if len(s.OneOf) > 0 {
		for _, one := range s.OneOf {
			if fmt.Sprint(one) == fmt.Sprint(value) {
				return nil
			}
		}
		return []string{fmt.Sprintf("%s is %v, one of %v allowed", at, value, s.OneOf)}
	}
	is := map[string]bool{}
	switch v := value.(type) {
	case map[string]any:
		is["object"] = true
		for key, inner := range v {
			field := s.Fields[key]
			if field == nil {
				field = s.Fields["*"]
			}
			if field == nil {
				all = append(all, fmt.Sprintf("%s has no field %s", at, key))
				continue
			}
			all = append(all, field.complain(at+"."+key, inner)...)
		}
	case []any:
		is["array"] = true
		for i, inner := range v {
			if s.Items != nil {
				all = append(all, s.Items.complain(fmt.Sprintf("%s[%d]", at, i), inner)...)
			}
		}
	case string:
		is["string"] = true
	case int64:
		is["integer"] = true
	case bool:
		is["boolean"] = true
	}
	if !is[s.Type] {
		all = append(all, fmt.Sprintf("%s is a %T, a %s allowed", at, value, s.Type))
	}
	return all
}

func cloudRunShape(t *testing.T) *shape {
	t.Helper()
	text, err := os.ReadFile("testdata/cloudrun-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	s := &shape{}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCloudRunShape sees that the services have no field that Cloud Run's API v1 does
// not document, or documents as not supported.
func TestCloudRunShape(t *testing.T) {
	want := cloudRunShape(t)
	services, err := load(t, "cloudrun.yaml").CloudRunServices()
	if err != nil || len(services) != 2 {
		t.Fatalf("CloudRunServices = %d services, %v", len(services), err)
	}
	for _, u := range services {
		for _, complaint := range want.complain(u.GetName(), u.Object) {
			t.Error(complaint)
		}
	}
	// The services for Knative have such fields, or the test would see nothing.
	if got := want.complain("", load(t, "small.yaml").node(0).Object); len(got) < 5 {
		t.Errorf("Knative's own services are complained about only so: %q", got)
	}
}

// One audience is for all nodes of a pool, and the services take what the proxy's tokens
// say. Without tokens they say nothing of it.
func TestCloudRunAudience(t *testing.T) {
	p := load(t, "cloudrun.yaml")
	for _, tokens := range []string{Metadata, None} {
		p.CloudRun.Tokens = tokens
		if want := tokens == Metadata; (p.Audience() != "") != want {
			t.Errorf("tokens %s: audience %q", tokens, p.Audience())
		}
		services, err := p.CloudRunServices()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range services {
			var taken []string
			text, ok := u.GetAnnotations()["run.googleapis.com/custom-audiences"]
			if ok {
				err = json.Unmarshal([]byte(text), &taken)
			}
			if want := tokens == Metadata; err != nil || ok != want || want && !slices.Equal(taken, []string{p.Audience()}) {
				t.Errorf("tokens %s: %s takes %q, the proxy sends %q, %v", tokens, u.GetName(), text, p.Audience(), err)
			}
		}
	}
	other := load(t, "cloudrun.yaml")
	other.Prefix = "other-"
	if other.Audience() == load(t, "cloudrun.yaml").Audience() {
		t.Errorf("two pools have the audience %s", other.Audience())
	}
	if audience := load(t, "small.yaml").Audience(); audience != "" {
		t.Errorf("a pool on Knative has the audience %s", audience)
	}
}

// Tokens are for TLS and private networks, and are on unless it is said otherwise.
func TestCloudRunGateway(t *testing.T) {
	text, err := os.ReadFile("testdata/cloudrun.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		gateway, tokens string
		ok              bool
	}{
		{"http://10.0.0.7", "", true}, {"https://nodes.example", "", true}, {"http://nodes.example", "", false}, {"http://203.0.113.7", "metadata", false},
		{"http://nodes.example", "none", true}, {"ftp://10.0.0.7", "", false}, {"https://nodes.example/path", "", false},
	} {
		file := fmt.Sprintf("%s\ngateway: %s\n", text, tt.gateway)
		if tt.tokens != "" {
			file = strings.Replace(file, "cloudRun:", "cloudRun:\n  tokens: "+tt.tokens, 1)
		}
		p, err := Decode([]byte(file))
		if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "gateway: ") {
			t.Errorf("gateway %s, tokens %q: %v", tt.gateway, tt.tokens, err)
		}
		if err == nil && (p.Audience() == "") != (tt.tokens == None) {
			t.Errorf("gateway %s, tokens %q: audience %q", tt.gateway, tt.tokens, p.Audience())
		}
	}
}

func TestCloudRunFaults(t *testing.T) {
	p := load(t, "full.yaml")
	p.Links, p.CPU, p.Memory, p.Image, p.Namespace = Direct, "500m", 256<<20+1, "dev.local/x:v1", "default"
	_, err := p.CloudRunServices()
	if err == nil {
		t.Fatal("a pool is accepted that Cloud Run cannot run")
	}
	for _, field := range []string{"cloudRun.network", "namespace", "links", "keep", "spread", "image", "cpu", "memory", "startAsleep", "labels"} {
		if !strings.Contains("\n"+err.Error(), "\n"+field+": ") {
			t.Errorf("no complaint about %s in:\n%v", field, err)
		}
	}
}
