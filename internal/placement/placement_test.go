package placement_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
)

// Transcripts: shape, stripes and group decisions for given pools and seeds.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "shape":
				return shape(t, d)
			case "stripes":
				return stripes(t, d)
			case "choose", "replace":
				return group(t, d)
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// shape: want=SHAPE nodes=N..., and a size per line.
func shape(t *testing.T, d *datadriven.TestData) string {
	var text string
	d.ScanArgs(t, "want", &text)
	want, err := placement.ParseShape(text)
	if err != nil {
		return err.Error() + "\n"
	}
	var out strings.Builder
	for line := range strings.Lines(d.Input) {
		var size float64
		var unit string
		if strings.TrimSpace(line) == "unknown" {
			size = -1
		} else if n, _ := fmt.Sscanf(line, "%g %s", &size, &unit); n == 2 {
			size *= map[string]float64{"KiB": 1 << 10, "MiB": 1 << 20}[unit]
		}
		fmt.Fprintf(&out, "%-9s", strings.TrimSpace(line))
		arg, _ := d.Arg("nodes")
		for i := range arg.Vals {
			var nodes int
			arg.Scan(t, i, &nodes)
			s := placement.ShapeFor(int64(size), nodes, want)
			fmt.Fprintf(&out, " %d:%s", nodes, placement.FormatShape(s))
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// stripes: size=BYTES shape=SHAPE, and ranges, "off n" per line.
func stripes(t *testing.T, d *datadriven.TestData) string {
	var size int64
	var text string
	d.ScanArgs(t, "size", &size)
	d.ScanArgs(t, "shape", &text)
	shape, err := placement.ParseShape(text)
	if err != nil {
		return err.Error() + "\n"
	}
	s := placement.Stripes{Size: size, Stripe: placement.StripeLen(size)}
	var out strings.Builder
	fmt.Fprintf(&out, "%d stripes of %d, last %d, %d to a group\n", s.Count(), s.Stripe,
		s.Len(s.Count()-1), placement.StripesPerGroup(shape, s.Stripe))
	for line := range strings.Lines(d.Input) {
		var off, n int64
		fmt.Sscan(line, &off, &n)
		fmt.Fprintf(&out, "%d+%d:", off, n)
		for p := range s.Parts(off, n) {
			fmt.Fprintf(&out, " %d[%d+%d]", p.Stripe, p.Off, p.Len)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// choose: n=N need=BYTES seed=S [avoid=(..)], and "node free [barred]" per line.
// replace: the same, with group=(..) and place=I.
func group(t *testing.T, d *datadriven.TestData) string {
	var n, place int
	var need int64
	var seed uint64
	var avoid, group []uint32
	d.MaybeScanArgs(t, "n", &n)
	d.MaybeScanArgs(t, "place", &place)
	d.MaybeScanArgs(t, "need", &need)
	d.ScanArgs(t, "seed", &seed)
	list := func(name string) (nodes []uint32) {
		arg, _ := d.Arg(name)
		for i := range arg.Vals {
			var node uint64
			arg.Scan(t, i, &node)
			nodes = append(nodes, uint32(node))
		}
		return nodes
	}
	avoid, group = list("avoid"), list("group")
	var candidates []placement.Candidate
	for line := range strings.Lines(d.Input) {
		var c placement.Candidate
		fmt.Sscan(line, &c.Node, &c.Free)
		c.Barred = strings.Contains(line, "barred")
		candidates = append(candidates, c)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	if d.Cmd == "replace" {
		node, err := placement.Replace(rng, group, place, need, candidates, avoid...)
		if err != nil {
			return err.Error() + "\n"
		}
		return fmt.Sprintln(node)
	}
	nodes, err := placement.Choose(rng, n, need, candidates, avoid...)
	if err != nil {
		return err.Error() + "\n"
	}
	return fmt.Sprintln(nodes)
}

func TestParseShape(t *testing.T) {
	for text, want := range map[string]object.Shape{
		"auto": placement.Auto, "10+2": {Data: 10, Parity: 2}, "1+0": {Data: 1}, "62+2": {Data: 62, Parity: 2},
	} {
		got, err := placement.ParseShape(text)
		if err != nil || got != want {
			t.Errorf("ParseShape(%q) = %v, %v, want %v", text, got, err, want)
		}
		if back := placement.FormatShape(got); back != text {
			t.Errorf("FormatShape(%v) = %q, want %q", got, back, text)
		}
	}
	for _, text := range []string{"", "10", "+", "10+", "+2", "-1+2", "0+2", "0+0", "10+2+1", "63+2", "a+b", "10 + 2", "Auto", "65535+1"} {
		got, err := placement.ParseShape(text)
		if !errors.Is(err, placement.ErrShape) {
			t.Errorf("ParseShape(%q) = %v, %v, want ErrShape", text, got, err)
		}
	}
}

// What placement allows can be coded, and fits the pool.
func TestShapeForLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := object.Shape{}
		if rapid.Bool().Draw(t, "explicit") {
			want.Data = rapid.IntRange(1, placement.MaxChunks).Draw(t, "d")
			want.Parity = rapid.IntRange(0, placement.MaxChunks-want.Data).Draw(t, "p")
		}
		if err := placement.CheckShape(want); err != nil {
			t.Fatal(err)
		}
		nodes := rapid.IntRange(-1, 100).Draw(t, "nodes")
		got := placement.ShapeFor(rapid.Int64Min(-1).Draw(t, "size"), nodes, want)
		if err := erasure.CheckShape(got.Data, got.Parity); err != nil {
			t.Fatal(err)
		}
		if got.Data+got.Parity > max(nodes, 1) {
			t.Fatalf("%v in a pool of %d", got, nodes)
		}
		if nodes > 1 && got.Parity == 0 && (want == placement.Auto || want.Parity > 0) {
			t.Fatalf("no parity: %v in a pool of %d", got, nodes)
		}
	})
}

// The parts of a range follow each other and are the range.
func TestPartsCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := placement.Stripes{
			Size:   rapid.Int64Range(0, 1000).Draw(t, "size"),
			Stripe: rapid.Int64Range(1, 300).Draw(t, "stripe"),
		}
		off := rapid.Int64Range(0, 1200).Draw(t, "off")
		n := rapid.OneOf(rapid.Int64Range(-1, 1200), rapid.Just(int64(math.MaxInt64))).Draw(t, "n")
		end := s.Size
		if n >= 0 && n < s.Size {
			end = min(s.Size, off+n)
		}
		at := off
		for p := range s.Parts(off, n) {
			if s.Offset(p.Stripe)+p.Off != at || p.Len < 1 || p.Off+p.Len > s.Len(p.Stripe) || p.Stripe >= s.Count() {
				t.Fatalf("part %+v at %d of %+v", p, at, s)
			}
			at += p.Len
		}
		if at != max(end, off) {
			t.Fatalf("parts of %d+%d end at %d, want %d", off, n, at, end)
		}
		var total int64
		for i := range s.Count() {
			total += s.Len(i)
		}
		if total != s.Size {
			t.Fatalf("stripes hold %d of %d bytes", total, s.Size)
		}
	})
}

// Filling a pool through Choose keeps it level: the fullest node stays close to
// the mean, and every group has distinct, allowed nodes.
func TestChooseBalances(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const nodes, groups, chunk = 50, 2000, 1
	pool := make([]placement.Candidate, nodes)
	for i := range pool {
		pool[i] = placement.Candidate{Node: uint32(i), Free: 1000, Barred: i == 7}
	}
	for range groups {
		got, err := placement.Choose(rng, 12, chunk, pool, 3)
		if err != nil {
			t.Fatal(err)
		}
		for i, node := range got {
			if node == 3 || node == 7 || slices.Contains(got[:i], node) {
				t.Fatalf("group %v", got)
			}
			pool[node].Free -= chunk
		}
	}
	mean := 12 * groups / (nodes - 2)
	for _, c := range pool {
		if used := int(1000 - c.Free); c.Node != 3 && c.Node != 7 && (used < mean-10 || used > mean+10) {
			t.Errorf("node %d took %d, mean is %d", c.Node, used, mean)
		}
	}
}

func TestRing(t *testing.T) {
	var addrs []string
	for i := range 8 {
		addrs = append(addrs, fmt.Sprintf("10.0.0.%d:6377", i))
	}
	ring := placement.NewRing(addrs)
	reversed := slices.Clone(addrs)
	slices.Reverse(reversed)
	same := placement.NewRing(append(reversed, addrs[0]))
	fewer := placement.NewRing(addrs[1:])

	const keys = 40000
	counts := make(map[string]int)
	for i := range keys {
		key := fmt.Sprintf("object/%d", i)
		owner, order := ring.Owner(key), ring.Order(key)
		counts[owner]++
		if len(order) != len(addrs) || order[0] != owner || len(slices.Compact(slices.Sorted(slices.Values(order)))) != len(addrs) {
			t.Fatalf("Order(%q) = %v, owner %s", key, order, owner)
		}
		if got := same.Owner(key); got != owner {
			t.Fatalf("order of addresses moved %q from %s to %s", key, owner, got)
		}
		want := owner
		if owner == addrs[0] {
			want = order[1]
		}
		if got := fewer.Owner(key); got != want {
			t.Fatalf("without %s, %q is owned by %s, want %s", addrs[0], key, got, want)
		}
	}
	for _, addr := range addrs {
		if share := float64(counts[addr]) * float64(len(addrs)) / keys; share < 0.8 || share > 1.2 {
			t.Errorf("%s owns %.2f of a fair share", addr, share)
		}
	}
}

func TestRingOfNone(t *testing.T) {
	ring := placement.NewRing(nil)
	if owner, order := ring.Owner("k"), ring.Order("k"); owner != "" || len(order) != 0 {
		t.Errorf("Owner, Order = %q, %v, want none", owner, order)
	}
}

// The hash is part of what clients agree on.
func TestHashIsFixed(t *testing.T) {
	if got := placement.Hash("infinicache"); got != wantHash {
		t.Errorf("Hash = %#x, want %#x", got, uint64(wantHash))
	}
}

const wantHash = 0x9baf59b39e7c05f8
