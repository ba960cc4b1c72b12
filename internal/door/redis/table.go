package redis

import (
	"context"
)

// command is a row of the table from which commands are run and described.
type command struct {
	name  string // lower case; "client|id" for a subcommand
	arity int    // number of arguments with the name; -n means n or more
	flags flags
	keys  keySpec
	// value is the index of the argument before which reading stops, because
	// the handler streams from there on; 0 reads all arguments.
	value int

	group   string // as in COMMAND DOCS
	since   string // the version of Redis that had it first
	summary string

	run  handler
	subs commandTable // of a container such as CLIENT; run is then dispatch
}

// handler runs a command. It either sends one reply and returns nil, or sends
// none and returns an error, which becomes the reply. args are valid until it
// returns; what it leaves unread of the command is skipped.
type handler func(ctx context.Context, c *conn, args [][]byte) error

type flags uint8

const (
	write flags = 1 << iota
	readonly
	denyOOM
	admin
	fast
	noAuth // also before AUTH

)

var flagNames = []string{"write", "readonly", "denyoom", "admin", "fast", "no_auth"}

// names lists the flags as COMMAND INFO does.
func (f flags) names() []string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// keySpec says which arguments are keys: every step-th from first to last,
// counted from the end if last is negative. first 0 means none.
type keySpec struct{ first, last, step int }

var (
	oneKey     = keySpec{1, 1, 1}
	allKeys    = keySpec{1, -1, 1}
	everyOther = keySpec{1, -1, 2}
)

// has tells whether argument i of argc is a key.
func (k keySpec) has(i, argc int) bool {
	last := k.last
	if last < 0 {
		last += argc
	}
	return k.first > 0 && i >= k.first && i <= last && (i-k.first)%k.step == 0
}

// takes tells whether the command may have n arguments, its name included.
func (cmd *command) takes(n int) bool {
	return n == cmd.arity || cmd.arity < 0 && n >= -cmd.arity
}

type commandTable map[string]*command

// find looks a command up by its name in any case; nil if there is none.
func (t commandTable) find(name []byte) *command {
	var lower [24]byte
	if len(name) > len(lower) {
		return nil
	}
	for i, b := range name {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower[i] = b
	}
	return t[string(lower[:len(name)])]
}

// dispatch runs a subcommand of the container cmd.
func (cmd *command) dispatch(ctx context.Context, c *conn, args [][]byte) error {
	sub := cmd.subs.find(args[1])
	switch {
	case sub == nil:
		return unknownSubcommand(args[1], cmd.name)
	case !sub.takes(len(args)):
		return wrongArity(sub.name)
	}
	c.last.Store(sub)
	return sub.run(ctx, c, args)
}

// container makes a command of subcommands, with HELP among them.
func container(name string, f flags, group, since, summary string, subs ...command) command {
	cmd := &command{
		name: name, arity: -2, flags: f, group: group, since: since, summary: summary,
		subs: make(commandTable),
	}
	cmd.run = cmd.dispatch
	subs = append(subs, command{
		name: "help", arity: 2, flags: f, since: since, group: group,
		summary: "Returns what the subcommands do.",
		run: func(_ context.Context, c *conn, _ [][]byte) error {
			c.replyHelp(name, cmd.subs)
			return nil
		},
	})
	for _, sub := range subs {
		short := sub.name
		sub.name, sub.group = name+"|"+short, group
		cmd.subs[short] = &sub
	}
	return *cmd
}

// newTable makes the table of every command that the door knows.
func newTable() commandTable {
	t := make(commandTable)
	for _, rows := range [][]command{
		readCommands(), writeCommands(), keyCommands(), expiryCommands(),
		serverCommands(), connectionCommands(),
		{clientCommand(), configCommand(), commandCommand()},
	} {
		for _, cmd := range rows {
			t[cmd.name] = &cmd
		}
	}
	return t
}
