package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/bytesize"
)

// flags declares a command's flags. Their values are parsed as the command line
// is read, but complained about together, by check.
type flags struct {
	cmd    *cobra.Command
	faults []error
	rules  []func() // see together
}

// flagsOf makes the flags of a command and has them checked before it runs.
func flagsOf(cmd *cobra.Command) *flags {
	f := &flags{cmd: cmd}
	cmd.PreRunE = func(*cobra.Command, []string) error { return f.check() }
	return f
}

// together has rule called when all flags are read, to complain about those that
// do not go together.
func (f *flags) together(rule func()) { f.rules = append(f.rules, rule) }

// check returns every complaint, as a usageError.
func (f *flags) check() error {
	for _, rule := range f.rules {
		rule()
	}
	if err := errors.Join(f.faults...); err != nil {
		return &usageError{f.cmd.CommandPath(), err}
	}
	return nil
}

// complain adds a complaint about a flag, or about several together.
func (f *flags) complain(format string, args ...any) {
	f.faults = append(f.faults, fmt.Errorf(format, args...))
}

// kind is a sort of flag value: how it is read and written, and its name and
// what is allowed, for people.
type kind[T any] struct {
	name    string
	allowed string
	parse   func(string) (T, bool)
	format  func(T) string
}

// value is a flag. It implements pflag.Value.
type value[T any] struct {
	kind[T]
	f    *flags
	flag string
	to   *T
}

func (v *value[T]) Set(text string) error {
	x, ok := v.parse(text)
	if !ok {
		v.f.complain("--%s: %q given, %s allowed", v.flag, text, v.allowed)
		return nil
	}
	*v.to = x
	return nil
}

func (v *value[T]) String() string { return v.format(*v.to) }
func (v *value[T]) Type() string   { return v.name }

// add declares a flag whose default is what *to holds.
func add[T any](f *flags, to *T, flag string, k kind[T], usage string) {
	f.cmd.Flags().Var(&value[T]{k, f, flag, to}, flag, usage)
}

func number(least, most int) kind[int] {
	return kind[int]{
		"N", fmt.Sprintf("%d to %d", least, most),
		func(s string) (int, bool) {
			n, err := strconv.Atoi(s)
			return n, err == nil && n >= least && n <= most
		},
		strconv.Itoa,
	}
}

func seed() kind[uint64] {
	return kind[uint64]{
		"N", "0 to 2^64-1",
		func(s string) (uint64, bool) {
			n, err := strconv.ParseUint(s, 10, 64)
			return n, err == nil
		},
		func(n uint64) string { return strconv.FormatUint(n, 10) },
	}
}

// real is a number from least to most; above makes least itself too little.
func real(least, most float64, above bool) kind[float64] {
	allowed := fmt.Sprintf("%v to %v", least, most)
	switch {
	case math.IsInf(most, 1) && above:
		allowed = fmt.Sprintf("a number above %v", least)
	case math.IsInf(most, 1):
		allowed = fmt.Sprintf("a number from %v on", least)
	}
	return kind[float64]{
		"X", allowed,
		func(s string) (float64, bool) {
			x, err := strconv.ParseFloat(s, 64)
			return x, err == nil && x >= least && x <= most && !math.IsInf(x, 0) && !(above && x == least)
		},
		func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) },
	}
}

func duration(least, most time.Duration) kind[time.Duration] {
	return kind[time.Duration]{
		"DURATION", fmt.Sprintf("%v to %v, like 500ms or 1h30m,", least, most),
		func(s string) (time.Duration, bool) {
			d, err := time.ParseDuration(s)
			return d, err == nil && d >= least && d <= most
		},
		func(d time.Duration) string {
			if d == 0 {
				return ""
			}
			return d.String()
		},
	}
}

// interval is a duration, or 0 for never.
func interval(least, most time.Duration) kind[time.Duration] {
	k := duration(least, most)
	k.allowed = "0, or " + k.allowed
	within := k.parse
	k.parse = func(s string) (time.Duration, bool) {
		if d, err := time.ParseDuration(s); err == nil && d == 0 {
			return 0, true
		}
		return within(s)
	}
	return k
}

func size(least, most int64) kind[int64] {
	return kind[int64]{
		"SIZE", fmt.Sprintf("%s to %s, like 256MiB,", bytesize.Format(least), bytesize.Format(most)),
		func(s string) (int64, bool) {
			n, ok := bytesize.Parse(s)
			return n, ok && n >= least && n <= most
		},
		bytesize.Format,
	}
}

// address is where to listen: host:port, where port 0 picks a free one.
func address() kind[string] {
	return kind[string]{
		"ADDR", "host:port",
		func(s string) (string, bool) {
			_, port, err := net.SplitHostPort(s)
			n, err2 := strconv.ParseUint(port, 10, 16)
			return s, err == nil && err2 == nil && n <= math.MaxUint16
		},
		func(s string) string { return s },
	}
}

func choice(options ...string) kind[string] {
	return kind[string]{
		strings.Join(options, "|"), strings.Join(options, ", "),
		func(s string) (string, bool) {
			for _, o := range options {
				if s == o {
					return s, true
				}
			}
			return "", false
		},
		func(s string) string { return s },
	}
}

// list is one or more of a kind, separated by commas.
func list[T any](of kind[T]) kind[[]T] {
	return kind[[]T]{
		of.name + ",...", "a list of " + strings.TrimSuffix(of.allowed, ","),
		func(s string) ([]T, bool) {
			var all []T
			for part := range strings.SplitSeq(s, ",") {
				x, ok := of.parse(strings.TrimSpace(part))
				if !ok {
					return nil, false
				}
				all = append(all, x)
			}
			return all, true
		},
		func(all []T) string {
			texts := make([]string, len(all))
			for i, x := range all {
				texts[i] = of.format(x)
			}
			return strings.Join(texts, ",")
		},
	}
}
