package knative

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/infinicache/infinicache/internal/deploy"
)

// fakeDrainer notes what it is asked among the API server's calls.
type fakeDrainer struct {
	s   *apiServer
	err error // of Drain
}

func (f *fakeDrainer) Drain(_ context.Context, nodes []int, _ func(done, total int)) error {
	f.s.note("drain %v", nodes)
	return f.err
}

func (f *fakeDrainer) Admit(ctx context.Context, nodes []int) error {
	f.s.note("admit %v", nodes)
	return ctx.Err()
}

// deployerFor is impatient.
func deployerFor(t *testing.T, s *apiServer, p *Pool, drain Drainer) *Deployer {
	t.Helper()
	d, err := New(Config{Pool: p, Cluster: s.config, Drain: drain, Patience: 30 * time.Millisecond, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// deployPool plans and applies.
func deployPool(t *testing.T, d *Deployer) error {
	t.Helper()
	plan, err := d.Plan(t.Context())
	if err != nil {
		return err
	}
	return d.Apply(t.Context(), plan)
}

const knativePath = "/apis/serving.knative.dev/v1/namespaces/default/services/"

func TestDeployFromNothing(t *testing.T) {
	s := newAPIServer(t)
	d := deployerFor(t, s, load(t, "small.yaml"), nil)
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if calls := s.changed(); len(calls) > 0 {
		t.Errorf("planning changes the cluster: %q", calls)
	}
	if n := len(plan.Changes()); n != 12 || len(plan.Restarts()) > 0 {
		t.Errorf("the plan has %d changes and restarts %v, want 12 and none", n, plan.Restarts())
	}
	if err := d.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"create serviceaccount cache-node", "create serviceaccount cache-proxy",
		"create networkpolicy cache-nodes", "create networkpolicy cache-proxy", "create poddisruptionbudget cache-nodes", "create service cache-instances",
		"create service cache-proxy", "create service cache-links",
		"create ksvc cache-0", "create ksvc cache-1",
		"create configmap cache-proxy", "create statefulset cache-proxy",
	}
	if diff := cmp.Diff(want, s.changed()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}

	plan, err = d.Plan(t.Context())
	if err != nil || len(plan.Changes()) != 0 {
		t.Errorf("a second plan is %v, %v, want nothing", plan.Changes(), err)
	}
	if err := d.Apply(t.Context(), plan); err != nil || len(s.changed()) > 0 {
		t.Errorf("applying nothing changes something, or fails: %v", err)
	}
}

func TestRollout(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	p.Nodes = 3
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	s.changed()

	p.Image = "dev.local/infinicache-node:v2"
	d := deployerFor(t, s, p, &fakeDrainer{s: s})
	d.atOnce = 2
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.Restarts(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("the plan restarts %v, want all", got)
	}
	fields := plan.Changes()[0].Fields
	want := []deploy.Field{{Name: "spec.template.spec.containers[node].image", From: "dev.local/infinicache-node:v1", To: "dev.local/infinicache-node:v2"}}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("fields of node 0 (-want +got):\n%s", diff)
	}
	file := plan.Changes()[3].Fields
	want = []deploy.Field{{Name: "data.pool.yaml", From: "image: dev.local/infinicache-node:v1", To: "image: dev.local/infinicache-node:v2"}}
	if diff := cmp.Diff(want, file); diff != "" {
		t.Errorf("fields of the proxy's pool file (-want +got):\n%s", diff)
	}
	if err := d.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	calls := []string{
		"drain [0 1]", "update ksvc cache-0", "update ksvc cache-1", "admit [0 1]",
		"drain [2]", "update ksvc cache-2", "admit [2]", "admit [0 1 2]",
		"update configmap cache-proxy", // and no restart of the proxy
	}
	if diff := cmp.Diff(calls, s.changed()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestProxyWaitsForHandover has a rollout and a change of the proxy in one deployment:
// while pods of the revision before may still be handing over, the proxy stays, if there
// is one.
func TestProxyWaitsForHandover(t *testing.T) {
	const earlier = "/api/v1/namespaces/default/pods/cache-1-00001"
	for _, tt := range []struct {
		name        string
		stays, away bool // the earlier pod, the proxy
	}{{"gone", false, false}, {"stays", true, false}, {"no proxy", true, true}} {
		stays := tt.stays
		s := newAPIServer(t)
		s.controller = func(u *unstructured.Unstructured) {
			if allReady(u); isNode(u) {
				u.Object["status"].(m)["latestReadyRevisionName"] = fmt.Sprintf("%s-%05d", u.GetName(), u.GetGeneration())
			}
		}
		p := load(t, "small.yaml")
		if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
			t.Fatal(err)
		}
		for _, revision := range []string{"cache-1-00001", "cache-1-00002"} {
			s.put("/api/v1/namespaces/default/pods/"+revision, m{
				"kind": "Pod", "apiVersion": "v1", "status": m{"phase": "Running"},
				"metadata": m{"name": revision, "labels": m{PoolLabel: "cache", NodeLabel: "1", revisionLabel: revision}},
			})
		}
		s.changed()
		looks := 0
		s.refuse = func(method, path string) (int, string) {
			if method == http.MethodGet && strings.HasSuffix(path, "/pods") {
				if looks++; looks == 3 && !stays {
					delete(s.objects, earlier)
					s.calls = append(s.calls, "gone cache-1-00001")
				}
			}
			return 0, ""
		}

		p.Image, p.ProxyFlags = "dev.local/infinicache-node:v2", []string{"--shape=1+1"}
		var told []string
		d := deployerFor(t, s, p, nil)
		if !stays {
			d.patience = time.Minute
		}
		if tt.away {
			d.patience = 2 * time.Second
			s.objects["/apis/apps/v1/namespaces/default/statefulsets/cache-proxy"].server["status"].(m)["readyReplicas"] = int64(0)
		}
		d.progress = func(line string) { told = append(told, line) }
		if err := deployPool(t, d); err != nil {
			t.Fatal(err)
		}
		want := []string{"create statefulset cache-proxy-trial", "delete cache-proxy-trial", "update ksvc cache-0", "update ksvc cache-1", "gone cache-1-00001", "update configmap cache-proxy", "update statefulset cache-proxy"}
		if stays {
			want = slices.Delete(want, 4, 5)
		}
		if diff := cmp.Diff(want, s.changed()); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", tt.name, diff)
		}
		lines := strings.Join(told, "\n")
		if !strings.Contains(lines, "waits for 1 pods of earlier revisions: cache-1-00001") || strings.Contains(lines, "still there") != (stays && !tt.away) || strings.Contains(lines, "no proxy that is ready") != tt.away {
			t.Errorf("%s: told\n%s", tt.name, lines)
		}
	}
}

// TestAdmitsWhatWasLeftDrained sees that a deployment that was killed between drain and
// admission is made good by the next, though that finds nothing to change; nodes that
// are new are none that the proxy knows.
func TestAdmitsWhatWasLeftDrained(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	s.changed()
	d := deployerFor(t, s, p, &fakeDrainer{s: s})
	for _, want := range [][]string{
		{"admit [0 1]"},
		{"create statefulset cache-proxy-trial", "delete cache-proxy-trial", "create ksvc cache-2", "admit [0 1]", "update configmap cache-proxy", "update statefulset cache-proxy"},
	} {
		if err := deployPool(t, d); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.changed()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		p.Nodes = 3
	}
}

// TestChangeWithoutRestart sees that nodes whose pods stay are not drained.
func TestChangeWithoutRestart(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	u := s.live(knativePath + "cache-1")
	labels := u.GetLabels()
	labels[PoolLabel], labels["networking.knative.dev/visibility"] = "cache", "none"
	u.SetLabels(labels)
	s.put(knativePath+"cache-1", u.Object) // as someone with kubectl would
	s.changed()
	d := deployerFor(t, s, p, &fakeDrainer{s: s})
	if err := deployPool(t, d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"update ksvc cache-1", "admit [0 1]"}, s.changed()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestShrink(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	p.Nodes = 4
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	// Neither is of this pool's nodes, whatever their names say.
	s.put(knativePath+"cache-9", m{"kind": "Service", "apiVersion": servingV1, "metadata": m{"name": "cache-9", "labels": m{PoolLabel: "other"}}})
	s.put(knativePath+"web", m{"kind": "Service", "apiVersion": servingV1, "metadata": m{"name": "web", "labels": m{PoolLabel: "cache"}}})
	s.changed()
	p.Nodes = 2
	d := deployerFor(t, s, p, &fakeDrainer{s: s})
	if err := deployPool(t, d); err != nil {
		t.Fatal(err)
	}
	want := []string{"create statefulset cache-proxy-trial", "delete cache-proxy-trial", "admit [0 1]", "drain [2 3]", "update configmap cache-proxy", "update statefulset cache-proxy", "delete cache-2", "delete cache-3"}
	if diff := cmp.Diff(want, s.changed()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestRolloutStopsAtFailure(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	s.changed()
	s.controller = func(u *unstructured.Unstructured) {
		allReady(u)
		if isNode(u) {
			u.Object["status"].(m)["latestCreatedRevisionName"] = "cache-0-00002"
			u.Object["status"].(m)["conditions"] = l{m{
				"type": "Ready", "status": "False", "reason": "RevisionFailed", "message": "Revision cache-0-00002 failed.",
			}}
		}
	}
	for _, revision := range []string{"cache-0-00001", "cache-0-00002"} {
		s.put("/api/v1/namespaces/default/pods/"+revision, m{
			"kind": "Pod", "apiVersion": "v1",
			"metadata": m{"name": revision, "labels": m{PoolLabel: "cache", NodeLabel: "0", revisionLabel: revision}},
			"status": m{"phase": "Pending", "containerStatuses": l{
				m{"name": "node", "state": m{"waiting": m{"reason": "ImagePullBackOff", "message": "no such image"}}},
			}},
		})
	}
	p.Image = "dev.local/missing:v1"
	err := deployPool(t, deployerFor(t, s, p, &fakeDrainer{s: s}))
	if err == nil {
		t.Fatal("a rollout whose image is missing succeeds")
	}
	for _, want := range []string{"stopped after 0 of 2", "cache-0 is not ready: RevisionFailed", "pod cache-0-00002: ImagePullBackOff: no such image (load the image"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "pod cache-0-00001") {
		t.Errorf("error %q tells of a pod of an older revision", err)
	}
	if diff := cmp.Diff([]string{"drain [0]", "update ksvc cache-0", "admit [0]"}, s.changed()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestPassingFailure sees that a service may say for a moment that it is not ready.
func TestPassingFailure(t *testing.T) {
	s := newAPIServer(t)
	s.controller = func(u *unstructured.Unstructured) {
		if allReady(u); isNode(u) {
			u.Object["status"].(m)["conditions"] = l{m{"type": "Ready", "status": "False"}}
		}
	}
	looks := 0
	s.refuse = func(method, path string) (int, string) {
		if method == http.MethodGet && path+"/" == knativePath {
			if looks++; looks > 3 {
				for at, o := range s.objects {
					if strings.HasPrefix(at, knativePath) {
						u := o.live()
						allReady(u)
						o.server["status"] = u.Object["status"]
					}
				}
			}
		}
		return 0, ""
	}
	d := deployerFor(t, s, load(t, "small.yaml"), nil)
	d.patience = time.Minute
	if err := deployPool(t, d); err != nil {
		t.Errorf("Apply = %v, want that it waits", err)
	}
	if looks < 4 {
		t.Errorf("the services were looked at %d times, so they were never seen failing", looks)
	}
}

func TestFailedDrainChangesNothing(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	s.changed()
	p.CPU = "200m"
	full := errors.New("no room elsewhere")
	if err := deployPool(t, deployerFor(t, s, p, &fakeDrainer{s, full})); !errors.Is(err, full) {
		t.Errorf("Apply = %v, want %v", err, full)
	}
	if diff := cmp.Diff([]string{"drain [0]"}, s.changed()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestCancelledRolloutAdmits(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	if err := deployPool(t, deployerFor(t, s, p, nil)); err != nil {
		t.Fatal(err)
	}
	s.changed()
	ctx, cancel := context.WithCancel(t.Context())
	s.controller = func(*unstructured.Unstructured) { cancel() } // and never ready
	p.CPU = "200m"
	d := deployerFor(t, s, p, &fakeDrainer{s: s})
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(ctx, plan); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply = %v, want that it was cancelled", err)
	}
	if diff := cmp.Diff([]string{"drain [0]", "update ksvc cache-0", "admit [0]"}, s.changed()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestClash(t *testing.T) {
	s := newAPIServer(t)
	for _, name := range []string{"cache-0", "cache-1"} {
		s.put(knativePath+name, m{"kind": "Service", "apiVersion": servingV1, "metadata": m{"name": name}})
	}
	err := deployPool(t, deployerFor(t, s, load(t, "small.yaml"), nil))
	for _, name := range []string{"cache-0", "cache-1"} {
		if err == nil || !strings.Contains(err.Error(), "ksvc "+name+" exists and is not of this pool") {
			t.Errorf("error %v does not say that %s clashes", err, name)
		}
	}
	if calls := s.changed(); len(calls) > 0 {
		t.Errorf("calls %q in spite of a clash", calls)
	}
}

func TestPlanErrors(t *testing.T) {
	for code, want := range map[int]string{
		http.StatusUnauthorized: "KUBECONFIG", http.StatusBadRequest: "--check", http.StatusForbidden: "--policy", http.StatusNotFound: "Knative Serving", http.StatusUnprocessableEntity: "cannot change",
	} {
		s := newAPIServer(t)
		s.refuse = func(method, _ string) (int, string) {
			if method == http.MethodPatch {
				return code, "the server's words"
			}
			return 0, ""
		}
		_, err := deployerFor(t, s, load(t, "small.yaml"), nil).Plan(t.Context())
		if err == nil || !strings.Contains(err.Error(), "the server's words") || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: error %v does not say %q", code, err, want)
		}
		if n := strings.Count(fmt.Sprint(err), "the server's words"); n != manyFaults {
			t.Errorf("%d: %d complaints, want %d", code, n, manyFaults)
		}
	}
	down := newAPIServer(t)
	down.config.Host = "http://127.0.0.1:1"
	if _, err := deployerFor(t, down, load(t, "small.yaml"), nil).Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "KUBECONFIG") {
		t.Errorf("error without a cluster is %v", err)
	}
}

func TestProxyNotReady(t *testing.T) {
	s := newAPIServer(t)
	s.controller = func(u *unstructured.Unstructured) {
		if allReady(u); u.GetKind() == "StatefulSet" {
			u.Object["status"].(m)["readyReplicas"] = int64(0)
		}
	}
	s.put("/api/v1/namespaces/default/pods/cache-proxy-0", m{
		"kind": "Pod", "apiVersion": "v1",
		"metadata": m{"name": "cache-proxy-0", "labels": m{PoolLabel: "cache", partLabel: partProxy}},
		"status": m{"phase": "Pending", "conditions": l{
			m{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "unbound volume claims"},
		}},
	})
	err := deployPool(t, deployerFor(t, s, load(t, "small.yaml"), nil))
	if err == nil || !strings.Contains(err.Error(), "statefulset cache-proxy is not ready: its pod is not ready; pod cache-proxy-0: Unschedulable: unbound volume claims") {
		t.Errorf("Apply = %v", err)
	}
}

func TestDestroy(t *testing.T) {
	s := newAPIServer(t)
	p := load(t, "small.yaml")
	d := deployerFor(t, s, p, nil)
	if err := deployPool(t, d); err != nil {
		t.Fatal(err)
	}
	const claim = "/api/v1/namespaces/default/persistentvolumeclaims/journal-cache-proxy-0"
	s.put(claim, m{"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": m{"name": "journal-cache-proxy-0", "namespace": "default", "labels": m{PoolLabel: "cache"}}})
	// Knative gives its own services the labels of what they are for.
	s.put("/api/v1/namespaces/default/services/cache-0-private", m{"kind": "Service", "apiVersion": "v1", "metadata": m{
		"name": "cache-0-private", "labels": m{PoolLabel: "cache"},
		"ownerReferences": l{m{"apiVersion": servingV1, "kind": "Service", "name": "cache-0", "uid": "u"}},
	}})
	s.changed()
	for _, data := range []bool{false, true} {
		plan, err := d.PlanDestroy(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Destroy(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"delete cache-proxy", "delete cache-0", "delete cache-1", "delete cache-instances", "delete cache-links", "delete cache-proxy", "delete cache-proxy",
			"delete cache-nodes", "delete cache-proxy", "delete cache-nodes", "delete cache-node", "delete cache-proxy",
		}
		if data {
			want = []string{"delete journal-cache-proxy-0"}
		}
		if diff := cmp.Diff(want, s.changed()); diff != "" {
			t.Errorf("with data %t, calls (-want +got):\n%s", data, diff)
		}
		if kept := s.live(claim) != nil; kept == data {
			t.Errorf("with data %t, the volume is kept: %t", data, kept)
		}
	}
	if s.live("/api/v1/namespaces/default/services/cache-0-private") == nil {
		t.Error("what belongs to Knative is deleted")
	}
}

// TestDestroyForeignClaim sees that the data of a pool is not said to be deleted that
// stays, in a claim that was made by hand.
func TestDestroyForeignClaim(t *testing.T) {
	s := newAPIServer(t)
	d := deployerFor(t, s, load(t, "small.yaml"), nil)
	s.put("/api/v1/namespaces/default/persistentvolumeclaims/journal-cache-proxy-0", m{"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": m{"name": "journal-cache-proxy-0", "namespace": "default"}})
	if _, err := d.PlanDestroy(t.Context(), false); err != nil {
		t.Errorf("without data: %v", err)
	}
	if _, err := d.PlanDestroy(t.Context(), true); err == nil || !strings.Contains(err.Error(), "journal-cache-proxy-0") || !strings.Contains(err.Error(), "infinicache.dev/pool=cache") {
		t.Errorf("with data: %v", err)
	}
}
