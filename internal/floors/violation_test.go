package floors

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestViolationsAreFound gives every check a module that breaks its rule.
func TestViolationsAreFound(t *testing.T) {
	const here = `"github.com/infinicache/infinicache/internal/`
	for _, tt := range []struct {
		name, path, text string
		check            func(tree) []string
		want             string // empty for no complaint
	}{
		{"down", "internal/pool/a.go", `package pool; import _ ` + here + `wire"`, importsGoDown, ""},
		{"up", "internal/link/a.go", `package link; import _ ` + here + `pool"`, importsGoDown, "imports up"},
		{"sideways", "internal/link/a.go", `package link; import _ ` + here + `store"`, importsGoDown, "sideways"},
		{"up to the root", "internal/link/a.go", `package link; import _ "github.com/infinicache/infinicache"`, importsGoDown, "imports up"},
		{"other system", "internal/link/a_plan9.go", `package link; import _ ` + here + `pool"`, importsGoDown, "imports up"},
		{"test looks up", "internal/link/a_test.go", `package link; import _ ` + here + `pool"`, importsGoDown, ""},
		{"unknown package", "internal/attic/a.go", `package attic`, importsGoDown, "internal/attic: package is on no floor"},
		{"unknown import", "internal/pool/a.go", `package pool; import _ ` + here + `attic"`, importsGoDown, "on no floor"},
		{"another module", "tools/x/a.go", `package attic`, importsGoDown, ""},
		{"test data", "internal/link/testdata/a.go", `package attic`, importsGoDown, ""},
		{"ignored", "internal/attic/a.go", "//go:build ignore\n\npackage main", importsGoDown, ""},

		{"simnet in use", "internal/pool/a.go", `package pool; import _ ` + here + `simnet"`, testSupportInTests, "which is for tests"},
		{"simnet in a test", "internal/pool/a_test.go", `package pool; import _ ` + here + `simnet"`, testSupportInTests, ""},

		{"node links the SDK", "cmd/infinicache-node/a.go", `package main; import _ "github.com/aws/aws-sdk-go-v2/service/lambda"`, nodeStaysSmall, "links cmd/infinicache-node -> github.com/aws/aws-sdk-go-v2"},
		{"node links it by way", "cmd/infinicache-node/a.go", `package main; import _ ` + here + `store"`, nodeStaysSmall, "internal/store -> github.com/prometheus"},
		{"node links its runtime", "cmd/infinicache-node/a.go", `package main; import _ "github.com/aws/aws-lambda-go/lambda"`, nodeStaysSmall, ""},

		{"exit", "internal/pool/a.go", `package pool; import "os"; func f() { os.Exit(1) }`, onlyCmdTouchesProcess, "os.Exit in line 1"},
		{"exit by another name", "internal/pool/a.go", `package pool; import x "os"; var v = x.Getenv`, onlyCmdTouchesProcess, "os.Getenv"},
		{"fatal", "internal/pool/a.go", `package pool; import "log"; func f() { log.Fatalf("") }`, onlyCmdTouchesProcess, "log.Fatalf"},
		{"every name", "internal/pool/a.go", `package pool; import . "os"`, onlyCmdTouchesProcess, "every name"},
		{"exit in cmd", "cmd/infinicache/a.go", `package main; import "os"; func f() { os.Exit(1) }`, onlyCmdTouchesProcess, ""},
		{"own Exit", "internal/pool/a.go", `package pool; func f(door struct{ Exit func() }) { door.Exit() }`, onlyCmdTouchesProcess, ""},

		{"vague file", "internal/pool/helpers.go", `package pool`, namesSaySomething, `"helpers"`},
		{"vague test", "internal/pool/utils_test.go", `package pool`, namesSaySomething, `"utils"`},
		{"vague package", "internal/common/a.go", `package common`, namesSaySomething, `"common"`},

		{"long", "internal/pool/a.go", "package pool\n" + strings.Repeat("\n", maxLines), filesAreShort, "801 lines"},
		{"long test", "internal/pool/a_test.go", "package pool\n" + strings.Repeat("\n", maxLines), filesAreShort, ""},

		{"clock", "internal/wire/a.go", `package wire; import "time"; var t = time.Now()`, groundFloorIsPure, "time.Now"},
		{"duration", "internal/wire/a.go", `package wire; import "time"; const d = time.Second`, groundFloorIsPure, ""},
		{"timeout", "internal/wire/a.go", `package wire; import "context"; var f = context.WithTimeout`, groundFloorIsPure, "context.WithTimeout"},
		{"goroutine", "internal/wire/a.go", "package wire\nfunc f() {\n\tgo f() }", groundFloorIsPure, "go statement in line 3"},
		{"network", "internal/wire/a.go", `package wire; import _ "net/netip"`, groundFloorIsPure, "import of net/netip"},
		{"logger", "internal/wire/a.go", `package wire; import _ "log/slog"`, groundFloorIsPure, "import of log/slog"},
		{"platform in a text", "internal/pool/a.go", `package pool; var slow = map[string]bool{"knative": true}`, onlyDriversNamePlatforms, "names a platform"},
		{"platform in a name", "internal/proxy/a.go", `package proxy; func onLambda() {}`, onlyDriversNamePlatforms, "onLambda in line 1"},
		{"driver in use", "internal/proxy/a.go", `package proxy; import _ ` + here + `platform/lambda"`, onlyDriversNamePlatforms, "names a platform"},
		{"platform in a comment", "internal/pool/a.go", "package pool\n\n// as on Knative\nvar a int", onlyDriversNamePlatforms, ""},
		{"driver", "internal/platform/knative/a.go", `package knative`, onlyDriversNamePlatforms, ""},

		{"clock upstairs", "internal/link/a.go", `package link; import "time"; var t = time.Now()`, groundFloorIsPure, ""},
	} {
		src, err := load(fstest.MapFS{
			tt.path:               {Data: []byte(tt.text)},
			"tools/x/go.mod":      {Data: []byte("module x")},
			"internal/store/z.go": {Data: []byte(`package store; import _ "github.com/prometheus/client_golang/prometheus"`)},
		})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := strings.Join(tt.check(src), "\n")
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: complaints %q, want %q", tt.name, got, tt.want)
		}
	}
}
