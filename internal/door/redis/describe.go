package redis

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/infinicache/infinicache/internal/resp"
)

func commandCommand() command {
	cmd := container("command", 0, "server", "2.8.13", "Describes the commands.",
		command{name: "count", arity: 2, run: commandCount, since: "2.8.13", summary: "Returns the number of commands."},
		command{name: "info", arity: -2, run: commandInfo, since: "2.8.13", summary: "Describes some or all commands, for programs."},
		command{name: "docs", arity: -2, run: commandDocs, since: "7.0.0", summary: "Describes some or all commands, for people."},
		command{name: "list", arity: 2, run: commandList, since: "7.0.0", summary: "Returns the names of the commands."},
		command{name: "getkeys", arity: -4, run: commandGetKeys, since: "2.8.13", summary: "Returns the keys in a command."},
	)
	cmd.arity = -1
	sub := cmd.run
	cmd.run = func(ctx context.Context, c *conn, args [][]byte) error {
		if len(args) == 1 {
			return commandInfo(ctx, c, nil)
		}
		return sub(ctx, c, args)
	}
	return cmd
}

// sorted returns the names in the table, which are its keys, in order.
func (t commandTable) sorted() []string { return slices.Sorted(maps.Keys(t)) }

func commandCount(_ context.Context, c *conn, _ [][]byte) error {
	c.replyInt(int64(len(c.door.table)))
	return nil
}

func commandList(_ context.Context, c *conn, _ [][]byte) error {
	c.replyNames(c.door.table.sorted())
	return nil
}

// commandInfo describes the commands named after COMMAND INFO, or all. One that
// is not known is null.
func commandInfo(_ context.Context, c *conn, args [][]byte) error {
	if len(args) <= 2 {
		names := c.door.table.sorted()
		c.replyArray(len(names))
		for _, name := range names {
			c.replyCommand(c.door.table[name])
		}
		return nil
	}
	c.replyArray(len(args) - 2)
	for _, name := range args[2:] {
		if cmd := c.door.table.find(name); cmd != nil {
			c.replyCommand(cmd)
		} else {
			c.sock.reply(c.version.AppendNullArray)
		}
	}
	return nil
}

// replyCommand replies the ten fields that Redis 7 has for a command. Tips are
// empty.
func (c *conn) replyCommand(cmd *command) {
	c.replyArray(10)
	c.replyBulk(cmd.name)
	c.replyInt(int64(cmd.arity))
	c.replyFlags(cmd.flags.names())
	c.replyInt(int64(cmd.keys.first))
	c.replyInt(int64(cmd.keys.last))
	c.replyInt(int64(cmd.keys.step))
	c.replyFlags(cmd.categories())
	c.replyArray(0)
	c.replyKeySpec(cmd)
	c.replyArray(len(cmd.subs))
	for _, name := range cmd.subs.sorted() {
		c.replyCommand(cmd.subs[name])
	}
}

// categories are those of Redis's access control.
func (cmd *command) categories() []string {
	groups := map[string]string{
		"string": "@string", "generic": "@keyspace", "server": "@dangerous", "connection": "@connection",
	}
	cats := []string{groups[cmd.group]}
	if cmd.flags&write != 0 {
		cats = append(cats, "@write")
	}
	if cmd.flags&readonly != 0 {
		cats = append(cats, "@read")
	}
	if cmd.flags&admin != 0 {
		cats = append(cats, "@admin")
	}
	if cmd.flags&fast != 0 {
		return append(cats, "@fast")
	}
	return append(cats, "@slow")
}

func (c *conn) replyKeySpec(cmd *command) {
	if cmd.keys.first == 0 {
		c.replyArray(0)
		return
	}
	access := "RO"
	if cmd.flags&write != 0 {
		access = "RW"
	}
	last := cmd.keys.last
	if last > 0 {
		last -= cmd.keys.first // here it counts from the first
	}
	c.replyArray(1)
	c.replyMap(3)
	c.replyBulk("flags")
	c.replyFlags([]string{access})
	c.replyBulk("begin_search")
	c.replyMap(2)
	c.replyBulk("type")
	c.replyBulk("index")
	c.replyBulk("spec")
	c.replyMap(1)
	c.replyBulk("index")
	c.replyInt(int64(cmd.keys.first))
	c.replyBulk("find_keys")
	c.replyMap(2)
	c.replyBulk("type")
	c.replyBulk("range")
	c.replyBulk("spec")
	c.replyMap(3)
	c.replyBulk("lastkey")
	c.replyInt(int64(last))
	c.replyBulk("keystep")
	c.replyInt(int64(cmd.keys.step))
	c.replyBulk("limit")
	c.replyInt(0)
}

// commandDocs documents the commands named, or all; unknown ones are left out.
func commandDocs(_ context.Context, c *conn, args [][]byte) error {
	var names []string
	for _, arg := range args[2:] {
		if cmd := c.door.table.find(arg); cmd != nil {
			names = append(names, cmd.name)
		}
	}
	if len(args) == 2 {
		names = c.door.table.sorted()
	}
	c.replyMap(len(names))
	for _, name := range names {
		c.replyDocs(name, c.door.table[name])
	}
	return nil
}

func (c *conn) replyDocs(name string, cmd *command) {
	n := 3
	if len(cmd.subs) > 0 {
		n++
	}
	c.replyBulk(name)
	c.replyMap(n)
	c.replyBulk("summary")
	c.replyBulk(cmd.summary)
	c.replyBulk("since")
	c.replyBulk(cmd.since)
	c.replyBulk("group")
	c.replyBulk(cmd.group)
	if len(cmd.subs) > 0 {
		c.replyBulk("subcommands")
		c.replyMap(len(cmd.subs))
		for _, sub := range cmd.subs.sorted() {
			c.replyDocs(cmd.subs[sub].name, cmd.subs[sub])
		}
	}
}

func commandGetKeys(_ context.Context, c *conn, args [][]byte) error {
	args = args[2:]
	cmd := c.door.table.find(args[0])
	switch {
	case cmd == nil:
		return errBadCommand
	case cmd.keys.first == 0:
		return errNoKeys
	case !cmd.takes(len(args)):
		return errBadArguments
	}
	var keys []string
	for i, arg := range args {
		if cmd.keys.has(i, len(args)) {
			keys = append(keys, string(arg))
		}
	}
	c.replyNames(keys)
	return nil
}

func (c *conn) replyNames(names []string) {
	c.replyArray(len(names))
	for _, name := range names {
		c.replyBulk(name)
	}
}

func (c *conn) replyFlags(names []string) {
	c.sock.reply(func(dst []byte) []byte { return c.version.AppendSet(dst, len(names)) })
	for _, name := range names {
		c.replySimple(name)
	}
}

// replyHelp lists the subcommands of a container.
func (c *conn) replyHelp(name string, subs commandTable) {
	c.replyArray(1 + 2*len(subs))
	line := func(s string) {
		c.sock.reply(func(dst []byte) []byte { return resp.AppendSimple(dst, s) })
	}
	line(strings.ToUpper(name) + " <subcommand> [<arg> ...]. Subcommands are:")
	for _, sub := range subs.sorted() {
		line(strings.ToUpper(sub))
		line("    " + subs[sub].summary)
	}
}
