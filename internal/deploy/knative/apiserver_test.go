package knative

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
)

// apiServer is as much of a Kubernetes API server as a deployment talks to: objects
// by path, server-side apply by one manager with dry run, label selectors, access
// reviews. What is applied lies over what the server and its controllers set.
type apiServer struct {
	t      *testing.T
	config *rest.Config

	mu      sync.Mutex
	objects map[string]*stored // by path
	calls   []string           // that changed something, in order
	// controller gives an object its status after it was applied; nil makes all
	// ready at once.
	controller func(u *unstructured.Unstructured)
	// trial is the status of the pod that tries the proxy's image; nil if there is none.
	trial m
	// refuse returns the HTTP status and message of a request that fails; 0 lets it
	// pass.
	refuse func(method, path string) (int, string)
	// forbidden are permissions that are not granted, such as "create services".
	forbidden []string
}

type stored struct {
	applied, server map[string]any
	generation      int64
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{t: t, objects: map[string]*stored{}, trial: trialOf(m{"terminated": m{"exitCode": 0}})}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.config = &rest.Config{Host: server.URL}
	s.put("/api/v1/namespaces/default", m{"kind": "Namespace", "apiVersion": "v1", "metadata": m{"name": "default"}})
	return s
}

// put stores what is not of a deployment.
func (s *apiServer) put(path string, fields m) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[path] = &stored{server: object(fields).Object}
}

// live returns the object at a path, or nil.
func (s *apiServer) live(path string) *unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[path]; o != nil {
		return o.live()
	}
	return nil
}

func (o *stored) live() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: merge(o.server, o.applied)}
	u.SetGeneration(o.generation)
	u.SetResourceVersion(fmt.Sprint(o.generation))
	return u
}

// changed returns the calls that changed something, and forgets them.
func (s *apiServer) changed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

func (s *apiServer) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, fmt.Sprintf(format, args...))
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		if code, message := s.refuse(r.Method, r.URL.Path); code != 0 {
			fail(w, code, message)
			return
		}
	}
	switch {
	case r.URL.Path == "/version":
		answer(w, m{"gitVersion": "v1.34.4"})
	case r.URL.Path == "/apis/serving.knative.dev/v1":
		answer(w, m{"kind": "APIResourceList", "groupVersion": servingV1, "resources": l{}})
	case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
		s.review(w, body)
	case r.Method == http.MethodGet && s.objects[r.URL.Path] != nil:
		answer(w, s.objects[r.URL.Path].live().Object)
	case r.Method == http.MethodGet && isCollection(r.URL.Path):
		s.list(w, r)
	case r.Method == http.MethodPatch:
		s.apply(w, r, body)
	case r.Method == http.MethodDelete && s.objects[r.URL.Path] != nil:
		delete(s.objects, r.URL.Path)
		delete(s.objects, "/api/v1/namespaces/default/pods/"+lastPart(r.URL.Path)+"-0")
		s.calls = append(s.calls, "delete "+lastPart(r.URL.Path))
		answer(w, m{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	default:
		fail(w, http.StatusNotFound, "not found: "+r.URL.Path)
	}
}

func (s *apiServer) review(w http.ResponseWriter, body []byte) {
	var review struct {
		Spec struct {
			ResourceAttributes struct{ Verb, Resource string }
		}
	}
	if err := json.Unmarshal(body, &review); err != nil {
		s.t.Error(err)
	}
	ask := review.Spec.ResourceAttributes
	answer(w, m{
		"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
		"status": m{"allowed": !slices.Contains(s.forbidden, ask.Verb+" "+ask.Resource)},
	})
}

// isCollection tells a collection's path from an object's.
func isCollection(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/v1/")
	if !ok {
		parts := strings.SplitN(strings.TrimPrefix(path, "/apis/"), "/", 3)
		rest = parts[len(parts)-1]
	}
	if inside, ok := strings.CutPrefix(rest, "namespaces/"); ok {
		_, rest, ok = strings.Cut(inside, "/")
		return ok && !strings.Contains(rest, "/")
	}
	return !strings.Contains(rest, "/")
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	items := l{}
	for path, o := range sorted(s.objects) {
		name, ok := strings.CutPrefix(path, r.URL.Path+"/")
		if u := o.live(); ok && !strings.Contains(name, "/") && selector.Matches(labels.Set(u.GetLabels())) {
			items = append(items, u.Object)
		}
	}
	answer(w, m{"kind": "List", "apiVersion": "v1", "metadata": m{}, "items": items})
}

func (s *apiServer) apply(w http.ResponseWriter, r *http.Request, body []byte) {
	query := r.URL.Query()
	if r.Header.Get("Content-Type") != "application/apply-patch+yaml" || query.Get("fieldManager") != fieldManager || query.Get("force") != "true" {
		fail(w, http.StatusBadRequest, "no server-side apply by "+fieldManager)
		return
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(body); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	next := stored{server: m{"metadata": m{"uid": "u-" + u.GetName()}}}
	action := "create"
	if before := s.objects[r.URL.Path]; before != nil {
		next, action = *before, "update"
	}
	if !reflect.DeepEqual(next.applied["spec"], u.Object["spec"]) {
		next.generation++
	}
	next.applied = u.Object
	if isNode(u) {
		next.server = merge(next.server, object(m{"kind": "Service", "spec": m{"traffic": l{m{"percent": 100, "latestRevision": true}}}}).Object)
	}
	if query.Get("dryRun") == "All" {
		answer(w, next.live().Object)
		return
	}
	s.calls = append(s.calls, action+" "+title(u))
	live := next.live()
	if s.controller != nil {
		s.controller(live)
	} else {
		allReady(live)
	}
	if status, ok := live.Object["status"]; ok {
		next.server = merge(next.server, m{"status": status})
	}
	s.objects[r.URL.Path] = &next
	if strings.HasSuffix(u.GetName(), partTrial) {
		s.tryOut(u)
	}
	answer(w, live.Object)
}

// trialOf is the status of a pod that tries the proxy's image.
func trialOf(state m) m {
	return m{"phase": "Running", "containerStatuses": l{m{"name": partTrial, "state": state}}}
}

// tryOut makes the pod of a trial.
func (s *apiServer) tryOut(u *unstructured.Unstructured) {
	if s.trial == nil {
		return
	}
	labels, _, _ := unstructured.NestedMap(u.Object, "spec", "template", "metadata", "labels")
	s.objects["/api/v1/namespaces/default/pods/"+u.GetName()+"-0"] = &stored{server: object(m{
		"kind": "Pod", "apiVersion": "v1", "metadata": m{"name": u.GetName() + "-0", "labels": labels},
		"spec": m{"nodeName": "one"}, "status": s.trial,
	}).Object}
}

// allReady is a cluster where everything works at once.
func allReady(u *unstructured.Unstructured) {
	status := m{"observedGeneration": u.GetGeneration()}
	switch {
	case isNode(u):
		status["conditions"] = l{m{"type": "Ready", "status": "True"}}
	case u.GetKind() == "StatefulSet":
		status["readyReplicas"], status["updatedReplicas"] = int64(1), int64(1)
		status["currentRevision"], status["updateRevision"] = "a", "a"
	default:
		return
	}
	u.Object["status"] = status
}

// merge lays one object over another. Neither is changed.
func merge(under, over map[string]any) map[string]any {
	both := map[string]any{}
	for key, value := range under {
		both[key] = value
	}
	for key, value := range over {
		inner, isMap := value.(map[string]any)
		if below, ok := both[key].(map[string]any); ok && isMap {
			both[key] = merge(below, inner)
		} else {
			both[key] = value
		}
	}
	return both
}

func lastPart(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func answer(w http.ResponseWriter, body m) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, code int, message string) {
	reasons := map[int]metav1.StatusReason{
		400: metav1.StatusReasonBadRequest, 401: metav1.StatusReasonUnauthorized, 403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound, 422: metav1.StatusReasonInvalid,
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   "Failure", Code: int32(code), Message: message, Reason: reasons[code],
	})
}
