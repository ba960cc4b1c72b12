package simnet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseRules(t *testing.T) {
	got, err := ParseRules(`
# seed 42
reset proxy->node/3 write 7     # fired 1
reset proxy->node/3 after 0 bytes
truncate a->b after 10 bytes
stall node/3->proxy after 1000 bytes
stall a->b after 5 bytes for 2s
flip node/3->proxy byte 123456
delay proxy->node/3 20ms
delay *->node/* 1s jitter 250ms
rate a->b 1000000 bytes/s
refuse a->b dial 2
partition A B
partition A B at 1s for 1m
cut node/3 at 5s
freeze node/* for 10s
drop node/3
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Rule{
		{Op: Reset, A: "proxy", B: "node/3", Write: 7},
		{Op: Reset, A: "proxy", B: "node/3"},
		{Op: Truncate, A: "a", B: "b", Bytes: 10},
		{Op: Stall, A: "node/3", B: "proxy", Bytes: 1000},
		{Op: Stall, A: "a", B: "b", Bytes: 5, For: 2 * time.Second},
		{Op: Flip, A: "node/3", B: "proxy", Bytes: 123456},
		{Op: Delay, A: "proxy", B: "node/3", Delay: 20 * time.Millisecond},
		{Op: Delay, A: "*", B: "node/*", Delay: time.Second, Jitter: 250 * time.Millisecond},
		{Op: Rate, A: "a", B: "b", Bytes: 1000000},
		{Op: Refuse, A: "a", B: "b", Dial: 2},
		{Op: Partition, A: "A", B: "B"},
		{Op: Partition, A: "A", B: "B", At: time.Second, For: time.Minute},
		{Op: Cut, A: "node/3", At: 5 * time.Second},
		{Op: Freeze, A: "node/*", For: 10 * time.Second},
		{Op: Drop, A: "node/3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestParseRulesNamesEveryWrongLine(t *testing.T) {
	text := strings.TrimSpace(`
explode a
reset a b write 1
reset a->b
reset a->b write 0
stall a->b after -1 bytes
flip a->b byte 0
delay a->b 0s
delay a->b 1s at 5s
cut
cut a at soon
drop a for 1s
reset a->b->c write 1
reset ->b write 1
rate a->b 99999999999999999999 bytes/s
`)
	_, err := ParseRules(text)
	if err == nil {
		t.Fatal("no error")
	}
	complaints := strings.Split(err.Error(), "\n")
	for i, line := range strings.Split(text, "\n") {
		if i >= len(complaints) || !strings.Contains(complaints[i], `"`+line+`"`) {
			t.Fatalf("line %q has no complaint of its own in:\n%v", line, err)
		}
	}
}

func TestReport(t *testing.T) {
	n := New(7)
	script(t, n, "flip a->b byte 3")
	script(t, n, "freeze node/*")
	rules, err := ParseRules(n.Report())
	if err != nil || len(rules) != 2 || rules[0].String() != "flip a->b byte 3" || rules[1].A != "node/*" {
		t.Errorf("report does not parse back: %v, %v\n%s", rules, err, n.Report())
	}
	if !strings.HasPrefix(n.Report(), "# seed 7\n") || !strings.Contains(n.Report(), "# fired 1\n") {
		t.Errorf("report:\n%s", n.Report())
	}
}

func TestAddRefusesRulesWithoutText(t *testing.T) {
	for _, rule := range []Rule{{}, {Op: Cut}, {Op: Flip, A: "a", B: "b"}, {Op: Cut, A: "a", Bytes: 1}, {Op: Delay, A: "a", B: "b"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Add(%+v) did not panic", rule)
				}
			}()
			New(1).Add(rule)
		}()
	}
}

// FuzzParseRules: rules that parse print as text that parses to the same rules.
func FuzzParseRules(f *testing.F) {
	f.Add("reset proxy->node/3 write 7\nstall a->b after 5 bytes for 2s")
	f.Add("delay *->node/* 1s jitter 250ms # note\ncut a at 1h2m")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseRules(text)
		if err != nil {
			return
		}
		for _, rule := range rules {
			again, err := ParseRules(rule.String())
			if err != nil || len(again) != 1 || again[0] != rule {
				t.Fatalf("%+v prints as %q, which parses as %+v, %v", rule, rule, again, err)
			}
		}
	})
}
