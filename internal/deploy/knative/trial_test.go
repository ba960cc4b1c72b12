package knative

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestProxyIsTried sees that a proxy is not replaced by one that cannot start, that
// nothing is changed then, and that nothing of the trial is left.
func TestProxyIsTried(t *testing.T) {
	tried := []string{"create statefulset cache-proxy-trial", "delete cache-proxy-trial"}
	for name, c := range map[string]struct {
		trial m
		want  string // of the error; empty if there is none
		told  string
	}{
		"runs on":    {trialOf(m{"running": m{}}), "", "try dev.local/infinicache:v2"},
		"ends":       {trialOf(m{"terminated": m{"exitCode": 0}}), "", "try dev.local/infinicache:v2"},
		"again":      {m{"containerStatuses": l{m{"name": partTrial, "state": m{"waiting": m{"reason": "CrashLoopBackOff"}}, "lastState": m{"terminated": m{"exitCode": 0}}}}}, "", "try dev.local/infinicache:v2"},
		"no image":   {trialOf(m{"waiting": m{"reason": "ErrImagePull", "message": "no such thing"}}), "ErrImagePull: no such thing (load the image", ""},
		"other":      {trialOf(m{"terminated": m{"exitCode": 2, "reason": "Error", "message": "unknown flag: --x\nhelp\n"}}), "proxy-trial ended with code 2: unknown flag: --x; help", ""},
		"no room":    {nil, "", "was not tried: there is no room"},
		"in pulling": {trialOf(m{"waiting": m{"reason": "ContainerCreating"}}), "not started after", ""},
	} {
		s := newAPIServer(t)
		p := load(t, "small.yaml")
		if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
			t.Fatal(err)
		}
		s.changed()
		s.trial = c.trial
		p.ProxyImage, p.CPU = "dev.local/infinicache:v2", "200m"
		d := deployerFor(t, s, p, nil)
		var told []string
		d.progress = func(line string) { told = append(told, line) }
		err := deployPool(t, d)
		want := tried
		if c.want == "" {
			want = append(tried[:2:2], "update ksvc cache-0", "update ksvc cache-1", "update configmap cache-proxy", "update statefulset cache-proxy")
		}
		if diff := cmp.Diff(want, s.changed()); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", name, diff)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), "nothing is changed") || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: Apply = %v, want %q", name, err, c.want)
		}
		if lines := strings.Join(told, "\n"); !strings.Contains(lines, c.told) {
			t.Errorf("%s: told\n%s\nwant %q", name, lines, c.told)
		}
	}
}

// TestTrialThatRecovers sees that an image that cannot be pulled at first may be later.
func TestTrialThatRecovers(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	s.trial = trialOf(m{"waiting": m{"reason": "ErrImagePull"}})
	looks := 0
	s.refuse = func(_, path string) (int, string) {
		if strings.HasSuffix(path, "/pods") {
			if looks++; looks == 3 {
				s.objects["/api/v1/namespaces/default/pods/cache-proxy-trial-0"].server["status"] = trialOf(m{"terminated": m{"exitCode": 0}})
			}
		}
		return 0, ""
	}
	p.ProxyImage = "dev.local/infinicache:v2"
	d := deployerFor(t, s, p, nil)
	d.patience = time.Minute
	if err := deployPool(t, d); err != nil {
		t.Errorf("Apply = %v, want that it waits", err)
	}
}

// TestTrialRunsAsTheProxy sees that what is tried is what will run, and that the proxy's
// services and policies do not take it for the proxy.
func TestTrialRunsAsTheProxy(t *testing.T) {
	p := load(t, "full.yaml")
	template := func(u *unstructured.Unstructured) (pod m, container m) {
		pod, _, _ = unstructured.NestedMap(u.Object, "spec", "template", "spec")
		return pod, pod["containers"].(l)[0].(m)
	}
	proxy, runs := template(p.statefulSet())
	trial, tries := template(p.trial())
	for _, key := range []string{"image", "securityContext"} {
		if diff := cmp.Diff(runs[key], tries[key]); diff != "" {
			t.Errorf("%s (-proxy +trial):\n%s", key, diff)
		}
	}
	if proxy["serviceAccountName"] != trial["serviceAccountName"] {
		t.Errorf("the trial's account is %v, which may pull other images than %v", trial["serviceAccountName"], proxy["serviceAccountName"])
	}
	if diff := cmp.Diff(append(runs["args"].(l), "--help"), tries["args"]); diff != "" {
		t.Errorf("args (-want +got):\n%s", diff)
	}
	labels, _, _ := unstructured.NestedStringMap(p.trial().Object, "spec", "template", "metadata", "labels")
	if labels[partLabel] == partProxy || labels[PoolLabel] != p.ID() {
		t.Errorf("the trial's labels are %v", labels)
	}
}
