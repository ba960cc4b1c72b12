package emulator

import (
	"os"
	"strconv"
	"testing"
)

func TestNoOrphans(t *testing.T) {
	for _, tt := range []struct{ name, parentDeath string }{
		{"parent-death signal and watchdog", "yes"},
		{"watchdog alone", "no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd, said := startVictim(t, tt.parentDeath)
			if said[0] != string(Stopped) || said[2] != string(Running) {
				t.Fatalf("victim says %q", said)
			}
			var pids []int
			for _, field := range []string{said[1], said[3], said[4]} {
				pid, err := strconv.Atoi(field)
				if err != nil || !alive(pid) {
					t.Fatalf("no process %q, %v", field, err)
				}
				pids = append(pids, pid)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			for i, what := range []string{"frozen instance", "running instance", "watchdog"} {
				eventually(t, what+" gone", func() bool { return !alive(pids[i]) })
			}
			if _, err := os.Stat(said[5]); !os.IsNotExist(err) {
				t.Errorf("work directory: %v", err)
			}
		})
	}
}
