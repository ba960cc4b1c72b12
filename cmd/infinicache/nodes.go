package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/admin"
)

// adminFlag declares --admin.
func adminFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("admin", defaultAdmin, "`ADDR` of the proxy's admin door")
}

func newNodes(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes of a pool",
		Long: `List the nodes of a pool: their state, the instances that play them and what
those hold, how often they were woken, and the time that this is billed with.

A proxy over a platform in another process knows only how many instances of a node
may hold something; the door of a platform of this program knows nothing else.`,
		Example: `  infinicache nodes
  infinicache nodes --json | jq '.nodes[] | select(.state == "awake")'`,
		Args: between(0, 0, "none"),
	}
	address, asJSON := adminFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client := admin.NewClient(*address)
		defer client.Close()
		status, err := client.Status(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(con.out, status)
		}
		return printNodes(con.out, status)
	}
	return cmd
}

// instancesOf are the states of a node's instances and what they take together, if
// the instances are listed; else how many may hold something.
func instancesOf(n admin.Node, listed bool) (instances, memory string) {
	switch {
	case listed && len(n.Instances) == 0:
		return "none", shortSize(0)
	case !listed && n.Holders == 0:
		return "-", "-"
	case !listed:
		return strconv.Itoa(n.Holders), "-"
	}
	var sum int64
	states := make([]string, len(n.Instances))
	for i, inst := range n.Instances {
		sum += inst.MemoryBytes
		states[i] = inst.State
	}
	return strings.Join(states, " "), shortSize(sum)
}

func printNodes(w io.Writer, s admin.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tSTATE\tINSTANCES\tHELD\tCAPACITY\tMEMORY\tSESSIONS\tCOLD\tBILLED")
	for _, n := range s.Nodes {
		instances, memory := instancesOf(n, s.InstancesListed)
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", n.Node, cmp.Or(n.State, "-"), instances,
			shortSize(n.HeldBytes), shortSize(n.CapacityBytes), memory, n.Sessions, n.ColdStarts, shortTime(n.BilledSeconds))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if s.Epoch == 0 { // no proxy there
		instances := 0
		for _, n := range s.Nodes {
			instances += len(n.Instances)
		}
		_, err := fmt.Fprintf(w, "\n%d instances of %d functions on this platform\n", instances, len(s.Nodes))
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d objects of %s; %d sessions, %s billed, $%.6f by the list price of %s\n",
		s.Catalog.Objects, shortSize(s.Catalog.Bytes), s.Bill.Sessions, shortTime(s.Bill.Seconds), s.Bill.Dollars, s.Bill.Tariff)
	if open := s.Breaker.Open; open != "" && open != "none" && err == nil {
		_, err = fmt.Fprintf(w, "spend breaker open: %d sessions forbidden by the limit on %s\n", s.Breaker.Refused[open], open)
	}
	if s.Journal != nil && s.Journal.Failing && err == nil {
		_, err = fmt.Fprintf(w, "journal failing: %s\n", s.Journal.LastError)
	}
	return err
}
