package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis measures the Redis server at an address with go-redis, as an ordinary
// application would use it. Close ends its connections.
type Redis struct{ client *redis.Client }

// NewRedis makes a target of a server, whose name in rows is "redis".
func NewRedis(address string) *Redis {
	return &Redis{redis.NewClient(&redis.Options{
		Addr: address, PoolSize: MaxClients, MaxRetries: -1,
		DialTimeout: 3 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
	})}
}

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }

// Ping asks whether the server answers.
func (r *Redis) Ping(ctx context.Context) error { return r.client.Ping(ctx).Err() }

// Target describes the server to Run.
func (r *Redis) Target() Target {
	return Target{
		Name:   "redis",
		Client: func(int) Client { return redisClient{r.client} },
		Usage:  r.usage,
	}
}

// usage asks the server itself, so that it works for a remote one, too.
func (r *Redis) usage(ctx context.Context) (Usage, error) {
	text, err := r.client.Info(ctx, "cpu", "memory").Result()
	if err != nil {
		return Usage{}, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
	}
	var u Usage
	for _, name := range []string{"used_cpu_sys", "used_cpu_user"} {
		seconds, err := strconv.ParseFloat(info[name], 64)
		if err != nil {
			return Usage{}, fmt.Errorf("INFO: %s: %w", name, err)
		}
		u.ProxyCPU += time.Duration(seconds * float64(time.Second))
	}
	u.ProxyMemory, _ = strconv.ParseInt(info["used_memory_rss"], 10, 64)
	return u, nil
}

type redisClient struct{ c *redis.Client }

func (r redisClient) Set(ctx context.Context, key string, value []byte) error {
	return r.c.Set(ctx, key, value, 0).Err()
}

func (r redisClient) Get(ctx context.Context, key string) ([]byte, error) {
	return r.c.Get(ctx, key).Bytes()
}

func (r redisClient) Delete(ctx context.Context, key string) error { return r.c.Del(ctx, key).Err() }

// RedisServer is a redis-server of our own: on loopback, without persistence.
type RedisServer struct {
	Address string
	cmd     *exec.Cmd
	dir     string
	ended   chan error
}

// ErrNoRedis means that no redis-server is installed.
var ErrNoRedis = errors.New("redis-server is not installed")

// StartRedis starts the redis-server that is installed. Stop ends it.
func StartRedis(ctx context.Context) (*RedisServer, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoRedis
	}
	// The server cannot choose a free port itself, and another process may take
	// the one that was free a moment ago.
	for attempt := 1; ; attempt++ {
		s, err := startRedis(ctx, binary)
		if err == nil || attempt == 3 || ctx.Err() != nil {
			return s, err
		}
	}
}

func startRedis(ctx context.Context, binary string) (*RedisServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	dir, err := os.MkdirTemp("", "infinicache-bench-")
	if err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	cmd := exec.Command(binary, "--port", port, "--bind", "127.0.0.1", "--save", "",
		"--appendonly", "no", "--daemonize", "no", "--logfile", "", "--dir", dir)
	cmd.Dir = dir
	// A Ctrl-C in the terminal is for us; Stop is for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	s := &RedisServer{Address: address, cmd: cmd, dir: dir, ended: make(chan error, 1)}
	last := make(chan string, 1)
	go func() {
		line := ""
		for lines := bufio.NewScanner(output); lines.Scan(); {
			line = lines.Text()
		}
		last <- line
		s.ended <- cmd.Wait()
	}()

	client := NewRedis(address)
	defer client.Close()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	patience, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for client.Ping(patience) != nil {
		select {
		case <-pause.C:
		case line := <-last:
			s.Stop()
			return nil, fmt.Errorf("start redis-server: it ended, saying %q", line)
		case <-patience.Done():
			s.Stop()
			return nil, fmt.Errorf("start redis-server: it does not answer: %w", patience.Err())
		}
	}
	return s, nil
}

// Stop ends the server and returns when it is gone.
func (s *RedisServer) Stop() {
	// An error means that it is gone already.
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	os.RemoveAll(s.dir)
}
