//go:build e2e

package knative

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nics stand for the network interfaces of machines: what the pods of one receive goes
// through one queue of its rate, and what they send through another.
type nics struct {
	t     *testing.T
	pods  []string // the host's ends of the pods' own interfaces
	in    []string // made here, by machine
	out   []string
	first int // rate of the first machine's, in Mbit a second
}

// layout says on which machine each pod is; without machines nothing is limited. The
// interface of the first has the rate first, in Mbit a second, those of others nicRate.
type layout struct {
	machines []int
	first    int
}

// nicPrefix begins the names of interfaces that this run makes.
func (c *cluster) nicPrefix() string { return "e2e" + c.namespace[len("infinicache-e2e-"):] }

// unplug deletes the interfaces that this run made.
func (c *cluster) unplug(ctx context.Context) error {
	all, err := net.Interfaces()
	for _, i := range all {
		if strings.HasPrefix(i.Name, c.nicPrefix()) {
			err = errors.Join(err, batch(ctx, "ip", "link del "+i.Name))
		}
	}
	return err
}

// batch has ip or tc carry lines out, up to the first that fails.
func batch(ctx context.Context, program string, lines ...string) error {
	cmd := exec.CommandContext(ctx, program, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return nil
}

// addNIC makes an interface that passes on what is redirected to it.
func addNIC(ctx context.Context, name string) error {
	if err := batch(ctx, "ip", "link add "+name+" type ifb", "link set "+name+" up"); err != nil {
		return err
	}
	return batch(ctx, "tc", "qdisc add dev "+name+" "+queue(nicRate))
}

// queue passes bytes on at a rate in Mbit a second. The largest packet passes at once,
// and others wait for up to a tenth of a second before any is dropped.
func queue(rate int) string {
	return fmt.Sprintf("root tbf rate %dmbit burst 128kb latency 100ms", rate)
}

// redirect has all that an interface of the host receives, ingress, or sends, egress, go
// through another one before.
func redirect(dev, hook, through string) string {
	return fmt.Sprintf("filter add dev %s %s protocol all u32 match u32 0 0 action mirred egress redirect dev %s", dev, hook, through)
}

// needNICs skips the test where machines cannot be simulated.
func needNICs(t *testing.T) {
	t.Helper()
	machines, err := at.api.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case volumes.value() == "":
		t.Skipf("that this is the cluster's only machine would be said by %s", volumes.name)
	case len(machines.Items) > 1:
		t.Skipf("the cluster has %d machines", len(machines.Items))
	case os.Geteuid() != 0:
		t.Skip("the interfaces of pods are changed by root only")
	}
	probe := at.nicPrefix() + "p"
	if err = addNIC(t.Context(), probe); err == nil {
		err = batch(t.Context(), "tc", "qdisc add dev "+probe+" clsact", redirect(probe, "ingress", probe), redirect(probe, "egress", probe))
	}
	if gone := at.unplug(context.WithoutCancel(t.Context())); gone != nil {
		t.Fatal(gone)
	}
	if err != nil {
		t.Skipf("the kernel or iproute2 lacks ifb, tbf, clsact, u32 or mirred: %v", err)
	}
}

// newNICs makes a machine for each pod of the pool, until the test ends. No pod is on
// any yet.
func newNICs(t *testing.T, p *pool) *nics {
	t.Helper()
	n := &nics{t: t, first: nicRate}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := at.unplug(ctx)
		for _, pod := range n.pods {
			err = errors.Join(err, batch(ctx, "tc", "qdisc del dev "+pod+" clsact"))
		}
		if err != nil {
			t.Error(err)
		}
	})
	for k, pod := range hostEnds(t, p) {
		n.in = append(n.in, fmt.Sprint(at.nicPrefix(), "i", k))
		n.out = append(n.out, fmt.Sprint(at.nicPrefix(), "o", k))
		if err := errors.Join(addNIC(t.Context(), n.in[k]), addNIC(t.Context(), n.out[k])); err != nil {
			t.Fatal(err)
		}
		if err := batch(t.Context(), "tc", "qdisc add dev "+pod+" clsact"); err != nil {
			t.Fatal(err)
		}
		n.pods = append(n.pods, pod)
	}
	return n
}

// hostEnds are the interfaces of the host at which the pods are. The test is skipped
// where not each has one of its own.
func hostEnds(t *testing.T, p *pool) (ends []string) {
	t.Helper()
	ip := func(into any, args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "ip", append([]string{"-json", "-details"}, args...)...).Output()
		if err == nil {
			err = json.Unmarshal(out, into)
		}
		if err != nil {
			t.Fatalf("ip %s: %v", strings.Join(args, " "), err)
		}
	}
	seen := map[string]bool{}
	for _, pods := range p.pods(false) {
		var routes []struct{ Dev string }
		ip(&routes, "route", "get", pods[0].Status.PodIP)
		dev := routes[0].Dev
		var links []struct {
			Linkinfo struct {
				Kind string `json:"info_kind"`
			}
		}
		ip(&links, "link", "show", "dev", dev)
		if links[0].Linkinfo.Kind != "veth" || seen[dev] {
			t.Skipf("pod %s is reached through %s, which is not an interface of its own", pods[0].Name, dev)
		}
		seen[dev] = true
		ends = append(ends, dev)
	}
	return ends
}

// plug puts the pods where a layout says.
func (n *nics) plug(to layout) {
	n.t.Helper()
	var lines []string
	if to.machines != nil && to.first != n.first {
		for _, name := range []string{n.in[0], n.out[0]} {
			lines = append(lines, "qdisc change dev "+name+" "+queue(to.first))
		}
		n.first = to.first
	}
	for k, pod := range n.pods {
		lines = append(lines, "filter del dev "+pod+" ingress", "filter del dev "+pod+" egress")
		if to.machines != nil { // what the host receives is what the pod sends
			on := to.machines[k]
			lines = append(lines, redirect(pod, "ingress", n.out[on]), redirect(pod, "egress", n.in[on]))
		}
	}
	if err := batch(n.t.Context(), "tc", lines...); err != nil {
		n.t.Fatal(err)
	}
}

// carried is how many bytes each interface has passed on.
func (n *nics) carried() (bytes []float64) {
	n.t.Helper()
	for _, name := range append(n.in[:len(n.in):len(n.in)], n.out...) {
		bytes = append(bytes, numbers(n.t, "/sys/class/net/"+name+"/statistics/rx_bytes")[0])
	}
	return bytes
}
