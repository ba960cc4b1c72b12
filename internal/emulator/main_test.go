package emulator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/infinicache/infinicache/internal/platform/conformance"
)

const roleVar = "EMULATOR_TEST_ROLE"

// TestMain makes this binary the function when an emulator starts it, and an
// emulator to be killed when TestNoOrphans does.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("AWS_LAMBDA_RUNTIME_API") != "":
		functionMain(os.Getenv(roleVar))
	case os.Getenv(roleVar) == "victim":
		victimMain()
	default:
		os.Exit(m.Run())
	}
}

func functionMain(role string) {
	switch role {
	case "exit":
		os.Exit(127)
	case "init error":
		api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")
		res, err := http.Post(api+"/2018-06-01/runtime/init/error", "application/json",
			strings.NewReader(`{"errorType":"Init.Refused","errorMessage":"no"}`))
		if err == nil {
			res.Body.Close()
		}
		select {}
	case "slow start":
		// Too slow in a fresh directory, quick in one that has seen a start.
		if os.Mkdir("seen", 0o700) == nil {
			select {}
		}
	case "sigterm":
		lambda.StartWithOptions(conformance.Function, lambda.WithEnableSIGTERM(func() {
			if conn, err := net.Dial("tcp", os.Getenv("GOODBYE")); err == nil {
				fmt.Fprintf(conn, "bye %s\n", os.Getenv("AWS_LAMBDA_FUNCTION_NAME"))
				conn.Close()
			}
		}))
	case "linked":
		conn, err := net.Dial("tcp", os.Getenv("GOODBYE"))
		if err != nil {
			os.Exit(1)
		}
		defer conn.Close()
	case "log":
		lambda.Start(func(ctx context.Context, cmd conformance.Command) (conformance.Reply, error) {
			fmt.Println("a line", strings.Repeat("y", 10_000))
			fmt.Println("END-OF-LINES")
			return conformance.Function(ctx, cmd)
		})
	case "tenant":
		lambda.Start(func(ctx context.Context) (string, error) {
			call, _ := lambdacontext.FromContext(ctx)
			return call.TenantID, nil
		})
	case "environment":
		lambda.Start(func() ([]string, error) { return os.Environ(), nil })
	}
	lambda.Start(conformance.Function)
}

// platform starts an emulator over this test binary and returns it with a
// client. Both end with the test.
func platform(t *testing.T, cfg Config) (*Emulator, client) {
	t.Helper()
	e := newEmulator(t, cfg)
	run(t, e)
	return e, newClient(t, e)
}

// run runs e until the test ends.
func run(t *testing.T, e *Emulator) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func newEmulator(t *testing.T, cfg Config) *Emulator {
	t.Helper()
	if cfg.Nodes == 0 {
		cfg.Nodes = 1
	}
	cfg.Binary = self(t)
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// client is the ordinary SDK with another endpoint.
type client struct{ *sdk.Client }

func newClient(t *testing.T, e *Emulator) client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return client{sdk.New(sdk.Options{
		Region:       region,
		BaseEndpoint: aws.String(e.URL()),
		HTTPClient:   &http.Client{Transport: transport},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
		}),
	}, func(o *sdk.Options) { o.Protocol = modelled{o.Protocol, t} })}
}

func (c client) invoke(t *testing.T, name, payload string) (*sdk.InvokeOutput, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return c.Invoke(ctx, &sdk.InvokeInput{
		FunctionName: aws.String(name),
		Payload:      []byte(payload),
		LogType:      types.LogTypeTail,
	})
}

// ok is invoke of a session that must succeed; it returns its payload.
func (c client) ok(t *testing.T, name, payload string) string {
	t.Helper()
	out, err := c.invoke(t, name, payload)
	if err != nil {
		t.Fatalf("Invoke(%s, %s) = %v", name, payload, err)
	}
	if out.FunctionError != nil {
		t.Fatalf("Invoke(%s, %s) = %s %s", name, payload, *out.FunctionError, out.Payload)
	}
	return string(out.Payload)
}

// processState returns the letter of a process's state, such as T for stopped,
// or empty if there is no such process.
func processState(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return after[:1]
}

// alive tells whether a process is there, other than as a zombie.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	return processState(pid) != "Z"
}

// eventually polls until ok, for at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// victimMain is an emulator with one frozen and one running instance, which
// prints its process ids and waits to be killed.
func victimMain() {
	binary, err := os.Executable()
	if err != nil {
		panic(err)
	}
	e, err := New(Config{Nodes: 2, Binary: binary})
	if err != nil {
		panic(err)
	}
	e.parentDeath = os.Getenv("PARENT_DEATH") == "yes"
	go e.Run(context.Background())
	post := func(node int, payload string) {
		res, err := http.Post(e.URL()+"/2015-03-31/functions/"+e.FunctionName(node)+"/invocations", "", strings.NewReader(payload))
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	post(0, `{"op":"echo"}`)
	go post(1, `{"op":"sleep","n":60000}`)
	for {
		all := e.Instances()
		if len(all) == 2 && all[1].State == Running {
			fmt.Println(all[0].State, all[0].PID, all[1].State, all[1].PID, e.watchdog.cmd.Process.Pid, e.dir)
			select {}
		}
		time.Sleep(5 * time.Millisecond) // no test: the process that one kills
	}
}

// startVictim starts victimMain and returns it with what it printed.
func startVictim(t *testing.T, parentDeath string) (*exec.Cmd, []string) {
	t.Helper()
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), roleVar+"=victim", "PARENT_DEATH="+parentDeath)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("victim: %q, %v", line, err)
	}
	return cmd, strings.Fields(line)
}
