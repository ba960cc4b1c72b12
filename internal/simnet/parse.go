package simnet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseRules reads rules, one a line, in the forms that Op's table gives.
// Blank lines, and what follows a #, are ignored. An error names every line
// that is wrong.
func ParseRules(text string) ([]Rule, error) {
	var rules []Rule
	var wrong []error
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		rule, err := parseRule(words)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("line %d: %q: %w", i+1, strings.TrimSpace(line), err))
			continue
		}
		rules = append(rules, rule)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return rules, nil
}

func parseRule(words []string) (Rule, error) {
	p := &sentence{left: words[1:]}
	r := Rule{Op: Op(words[0])}
	shape, ok := shapes[r.Op]
	if !ok {
		return Rule{}, fmt.Errorf("no such rule as %q", words[0])
	}

	switch shape.hosts {
	case link:
		from, to, ok := strings.Cut(p.next("a link"), "->")
		if !ok {
			p.complain("want a link A->B")
		}
		r.A, r.B = p.host(from), p.host(to)
	case pair:
		r.A, r.B = p.host(p.next("a host")), p.host(p.next("a second host"))
	case one:
		r.A = p.host(p.next("a host"))
	}

	switch r.Op {
	case Reset:
		if p.has("write") {
			r.Write = p.number("a write", 1)
			break
		}
		fallthrough
	case Truncate, Stall:
		p.expect("after")
		r.Bytes = p.number("bytes", 0)
		p.expect("bytes")
	case Flip:
		p.expect("byte")
		r.Bytes = p.number("a byte", 1)
	case Rate:
		r.Bytes = p.number("bytes", 1)
		p.expect("bytes/s")
	case Refuse:
		p.expect("dial")
		r.Dial = p.number("a dial", 1)
	case Delay:
		r.Delay = p.duration("a delay")
	}

	for _, option := range []struct {
		word  string
		value *time.Duration
	}{{"jitter", &r.Jitter}, {"at", &r.At}, {"for", &r.For}} {
		if strings.Contains(shape.may, option.word) && p.has(option.word) {
			*option.value = p.duration("after " + option.word)
		}
	}
	if len(p.left) > 0 {
		p.complain("%q is too much", strings.Join(p.left, " "))
	}
	return r, p.err
}

// sentence takes the words of one rule from the left and keeps the first complaint.
type sentence struct {
	left []string
	err  error
}

func (p *sentence) complain(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *sentence) next(want string) string {
	if len(p.left) == 0 {
		p.complain("%s is missing", want)
		return ""
	}
	word := p.left[0]
	p.left = p.left[1:]
	return word
}

// has takes the word if it comes next.
func (p *sentence) has(word string) bool {
	if len(p.left) == 0 || p.left[0] != word {
		return false
	}
	p.left = p.left[1:]
	return true
}

func (p *sentence) expect(word string) {
	if got := p.next(strconv.Quote(word)); got != word {
		p.complain("%q, want %q", got, word)
	}
}

func (p *sentence) host(name string) string {
	if !validHost(name) {
		p.complain("bad host %q", name)
	}
	return name
}

func (p *sentence) number(want string, least int64) int64 {
	word := p.next(want)
	v, err := strconv.ParseInt(word, 10, 64)
	if err != nil || v < least {
		p.complain("%q, want %s from %d on", word, want, least)
	}
	return v
}

// duration takes a duration above 0.
func (p *sentence) duration(want string) time.Duration {
	word := p.next("a duration, " + want)
	d, err := time.ParseDuration(word)
	if err != nil || d <= 0 {
		p.complain("%q, want a duration above 0", word)
	}
	return d
}
