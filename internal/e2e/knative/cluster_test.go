//go:build e2e

package knative

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// runLabel is on what a run of the suite makes outside its own namespace, with the
// name of that.
const runLabel = "infinicache.dev/e2e"

// cluster is where pools are deployed, in a namespace of this run.
type cluster struct {
	api       kubernetes.Interface
	any       dynamic.Interface
	namespace string
	arch      string
	classes   bool // it makes volumes by itself
	dir       string

	nodeImages [2]string // of the same program, so that one can be rolled out after the other
	proxyImage string
	echoImage  string
}

// services are Knative's.
var services = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}

// newCluster asks the cluster what it is. It makes nothing yet.
func newCluster(ctx context.Context) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig.value())
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", kubeconfig.name, kubeconfig.value(), err)
	}
	config.QPS, config.Burst, config.WarningHandler = 50, 100, rest.NoWarnings{}
	c := &cluster{namespace: "infinicache-e2e-" + strings.ToLower(rand.Text()[:6])}
	if c.api, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.any, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	machines, err := c.api.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("the cluster of %s does not answer: %w", kubeconfig.value(), err)
	}
	if len(machines.Items) == 0 {
		return nil, errors.New("the cluster has no machines")
	}
	c.arch = machines.Items[0].Status.NodeInfo.Architecture
	if _, err := c.any.Resource(services).Namespace("default").List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		return nil, fmt.Errorf("the cluster has no Knative Serving: %w", err)
	}
	classes, err := c.api.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, class := range classes.Items {
		c.classes = c.classes || class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true"
	}
	if !c.classes && (volumes.value() == "" || len(machines.Items) > 1) {
		return nil, fmt.Errorf("the cluster has no default storage class: needed is %s, %s", volumes.name, volumes.meaning)
	}
	return c, nil
}

// prepare makes the namespace and brings the images.
func (c *cluster) prepare(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.namespace, Labels: map[string]string{runLabel: c.namespace}}}
	if _, err := c.api.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make namespace: %w", err)
	}
	var err error
	if c.dir, err = os.MkdirTemp("", "infinicache-e2e-"); err != nil {
		return err
	}
	begin := registry.value()
	if begin == "" {
		begin = "dev.local"
	}
	tag := c.namespace[len("infinicache-e2e-"):]
	name := func(what, tag string) string { return begin + "/infinicache-e2e-" + what + ":" + tag }
	c.nodeImages = [2]string{name("node", tag+"-a"), name("node", tag+"-b")}
	c.proxyImage, c.echoImage = name("proxy", tag), name("echo", tag)
	echo, err := buildEcho(ctx, c.dir, c.arch)
	if err != nil {
		return err
	}
	for _, image := range []struct{ kind, name, program string }{
		{"node", c.nodeImages[0], ""}, {"node", c.nodeImages[1], ""}, {"proxy", c.proxyImage, ""}, {"node", c.echoImage, echo},
	} {
		if err := load(ctx, c.dir, image.kind, image.name, image.program); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes all that this run made, and waits until it is gone.
func (c *cluster) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	defer os.RemoveAll(c.dir)
	own := metav1.ListOptions{LabelSelector: runLabel + "=" + c.namespace}
	background := metav1.DeletePropagationBackground
	namespaces := c.api.CoreV1().Namespaces()
	err := namespaces.Delete(ctx, c.namespace, metav1.DeleteOptions{PropagationPolicy: &background})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	for err == nil {
		if _, err = namespaces.Get(ctx, c.namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			err = nil
			break
		}
		c.hurry(ctx)
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			err = fmt.Errorf("namespace %s: %w", c.namespace, ctx.Err())
		}
	}
	err = errors.Join(err, c.unplug(ctx), c.api.CoreV1().PersistentVolumes().DeleteCollection(ctx, metav1.DeleteOptions{}, own))
	if !c.classes {
		err = errors.Join(err, os.RemoveAll(c.volumeDir("")))
	}
	return err
}

// hurry takes pods that have time to end.
func (c *cluster) hurry(ctx context.Context) {
	now := int64(0)
	// What cannot be hurried takes its time.
	_ = c.api.CoreV1().Pods(c.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
}

func (c *cluster) volumeDir(claim string) string {
	return filepath.Join(volumes.value(), c.namespace, claim)
}

// volume makes one for a pool's proxy, and the claim, where the cluster does not by itself.
// They are bound when it returns: a pod that the scheduler sees before may wait for
// minutes to be looked at again.
func (c *cluster) volume(ctx context.Context, pool string) error {
	if c.classes {
		return nil
	}
	claim := "journal-" + pool + "-proxy-0"
	dir := c.volumeDir(claim)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o777); err != nil { // the proxy is nobody there
		return err
	}
	_, err := c.api.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: c.namespace + "-" + claim, Labels: map[string]string{runLabel: c.namespace}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}},
			ClaimRef:                      &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: c.namespace, Name: claim},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	claims := c.api.CoreV1().PersistentVolumeClaims(c.namespace)
	if _, err := claims.Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: claim, Labels: map[string]string{"infinicache.dev/pool": pool}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	for {
		got, err := claims.Get(ctx, claim, metav1.GetOptions{})
		if err != nil || got.Status.Phase == corev1.ClaimBound {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("claim %s is %s: %w", claim, got.Status.Phase, ctx.Err())
		}
	}
}

// apply does what kubectl apply --server-side does with an object.
func (c *cluster) apply(ctx context.Context, u *unstructured.Unstructured) error {
	text, err := json.Marshal(u.Object)
	if err != nil {
		return err
	}
	kind, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
	force := true
	_, err = c.any.Resource(kind).Namespace(c.namespace).Patch(ctx, u.GetName(), types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: "e2e", Force: &force})
	return err
}

// pods are those that a selector matches, the ending ones too.
func (c *cluster) pods(ctx context.Context, selector string) ([]corev1.Pod, error) {
	list, err := c.api.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// addressOf is the address of a service of the namespace, or of another for a name
// like service.namespace.
func (c *cluster) addressOf(ctx context.Context, service string) (string, error) {
	name, namespace, elsewhere := strings.Cut(service, ".")
	if !elsewhere {
		namespace = c.namespace
	}
	s, err := c.api.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return s.Spec.ClusterIP, nil
}
