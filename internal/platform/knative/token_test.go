package knative

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/knative/miniature"
)

const (
	audience = "https://cache.my-project.svc.cluster.local"
	account  = "proxy@my-project.iam.gserviceaccount.com"
)

// within is a transport to a handler in this process, for tests in a bubble.
type within struct{ http.Handler }

func (h within) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// tokensFrom are tokens that a handler gives.
func tokensFrom(h http.HandlerFunc) *tokens {
	t := newTokens(audience, defaultMetadata)
	t.client.Transport = within{h}
	return t
}

// good tells whether a token would be let in now.
func good(token string) bool {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(tokenHeader, "Bearer "+token)
	miniature.Front(audience, account, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w.Code == http.StatusOK
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &miniature.Authority{Account: account}
		tokens := tokensFrom(a.ServeHTTP)
		for range 10 * 60 {
			token, err := tokens.get(t.Context())
			if err != nil || !good(token) {
				t.Fatalf("at %v: token %t, %v", time.Now(), good(token), err)
			}
			time.Sleep(time.Minute)
		}
		// An hour, of which the last five minutes are not waited for.
		if n := a.Given(); n != 11 {
			t.Errorf("%d tokens in ten hours, want 11", n)
		}
	})
}

func TestTokenIsAskedForOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &miniature.Authority{Account: account}
		tokens := tokensFrom(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			a.ServeHTTP(w, r)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := tokens.get(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one who leaves: %v", err)
			}
		})
		for range 400 {
			all.Go(func() {
				if token, err := tokens.get(t.Context()); err != nil || !good(token) {
					t.Errorf("token %t, %v", good(token), err)
				}
			})
		}
		all.Wait()
		if n := a.Given(); n != 1 {
			t.Errorf("%d tokens were asked for", n)
		}
	})
}

// While there is a token, nobody waits for the next, nor hears that there is none. It
// is asked for about twice a minute.
func TestMetadataServerIsAwayForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, asked, away := &miniature.Authority{Account: account}, 0, false
		tokens := tokensFrom(func(w http.ResponseWriter, r *http.Request) {
			if asked++; away {
				<-r.Context().Done()
				return
			}
			a.ServeHTTP(w, r)
		})
		if _, err := tokens.get(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		away = true
		for time.Since(began) < tokenLife-tokenSpent {
			before := time.Now()
			if token, err := tokens.get(t.Context()); err != nil || !good(token) || time.Now() != before {
				t.Fatalf("after %v: token %t, %v, in %v", before.Sub(began), good(token), err, time.Since(before))
			}
			time.Sleep(time.Second)
		}
		if asked < 8 || asked > 12 {
			t.Errorf("asked %d times", asked)
		}
		synctest.Wait()
		before := time.Now()
		token, err := tokens.get(t.Context())
		if kind := kindOf(err); kind != platform.NotReady || token != "" {
			t.Errorf("token that is about to expire: %t, %v", token != "", err)
		}
		if took := time.Since(before); took > tokenPatience {
			t.Errorf("waited for %v", took)
		}
		away = false
		if token, err := tokens.get(t.Context()); err != nil || !good(token) {
			t.Errorf("metadata server is back: token %t, %v", good(token), err)
		}
	})
}

func TestMetadataServersThatGiveNone(t *testing.T) {
	hour := time.Now().Add(time.Hour).Unix()
	token := func(claims string) string {
		return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2VjcmV0"
	}
	for _, tt := range []struct {
		name   string
		status int
		answer string
		kind   platform.Kind
		says   string
	}{
		{"no account", 404, "no such account", platform.Denied, "answers 404"},
		{"not let in", 403, "", platform.Denied, "answers 403"},
		{"moved", 302, "", platform.Denied, "answers 302"},
		{"busy", 429, "", platform.NotReady, "answers 429"},
		{"broken", 503, "", platform.NotReady, "answers 503"},
		{"empty", 200, "", platform.Denied, "not a JSON Web Token"},
		{"a page", 200, "<html>Welcome to our hotel", platform.Denied, "not a JSON Web Token"},
		{"two lines", 200, token("{}") + "\r\nHost: x", platform.Denied, "not a JSON Web Token"},
		{"huge", 200, token("{}") + strings.Repeat("A", maxToken), platform.Denied, "more than 16384 bytes"},
		{"claims that are no base64", 200, "eyJhbGciOiJIUzI1NiJ9.A.c2VjcmV0", platform.Denied, "not base64"},
		{"claims that are no JSON", 200, token("claims"), platform.Denied, "not understood"},
		{"claims of other types", 200, token(`{"aud":["` + audience + `"],"exp":"soon"}`), platform.Denied, "not understood"},
		{"another audience", 200, token(fmt.Sprintf(`{"aud":"https://x.run.app","exp":%d}`, hour)), platform.Denied, "another audience"},
		{"without an end", 200, token(`{"aud":"` + audience + `"}`), platform.Denied, "clock"},
		{"about to expire", 200, token(fmt.Sprintf(`{"aud":%q,"exp":%d}`, audience, hour-3600+20)), platform.Denied, "clock"},
	} {
		tokens := tokensFrom(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.answer)
		})
		got, err := tokens.get(t.Context())
		if got != "" || err == nil || kindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: token %t, kind %v: %v", tt.name, got != "", kindOf(err), err)
			continue
		}
		if strings.Contains(err.Error(), "eyJ") || !strings.Contains(err.Error(), "service account") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// A token that claims to be good for long is renewed all the same.
	tokens := tokensFrom(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, token(fmt.Sprintf(`{"aud":%q,"exp":%d}`, audience, hour+1e9))+"\n")
	})
	if _, err := tokens.get(t.Context()); err != nil || time.Until(tokens.next) > tokenLife {
		t.Errorf("renewed in %v, %v", time.Until(tokens.next), err)
	}
}

func TestWhereTokensMayBeSent(t *testing.T) {
	for gateway, want := range map[string]bool{
		"https://nodes.example": true, "https://203.0.113.7": true, "http://10.0.0.7": true, "http://192.168.1.7:8080/": true,
		"http://127.0.0.1:8080": true, "http://[fd00::7]": true, "http://[::ffff:10.0.0.7]": true,
		"": false, "http://203.0.113.7": false, "http://[2001:db8::7]": false, "http://nodes.internal": false, "http://localhost": false,
		"http://10.0.0.7.example": false, "http://10.0.0.7@203.0.113.7": false, "http://": false, "ftp://10.0.0.7": false, "10.0.0.7": false,
	} {
		if got := Confidential(gateway); got != want {
			t.Errorf("Confidential(%q) = %t", gateway, got)
		}
		cfg := Config{Host: "c-%d.x", Gateway: gateway, Audience: audience}
		if _, err := New(cfg); (err == nil) != want {
			t.Errorf("New with gateway %q: %v", gateway, err)
		}
	}
	for _, tt := range []struct {
		gateway, audience string
		proxied           bool
	}{{"http://10.0.0.7", audience, false}, {"HTTP://10.0.0.7", audience, false}, {"https://nodes.example", audience, true}, {"http://10.0.0.7", "", true}} {
		d, err := New(Config{Host: "c-%d.x", Gateway: tt.gateway, Audience: tt.audience})
		if err != nil {
			t.Fatal(err)
		}
		if (d.own.Proxy != nil) != tt.proxied {
			t.Errorf("%s with audience %q: through the environment's proxy %t", tt.gateway, tt.audience, d.own.Proxy != nil)
		}
	}
}

// lockedIn is a driver over services that only the account may invoke, and the number
// of requests that got in. The metadata server is of the machine of a.
func lockedIn(t *testing.T, a *miniature.Authority, audience string, services http.HandlerFunc) *Driver {
	t.Helper()
	metadata := httptest.NewServer(a)
	t.Cleanup(metadata.Close)
	gateway := httptest.NewServer(miniature.Front("https://cache.my-project.svc.cluster.local", account, services))
	t.Cleanup(gateway.Close)
	d, err := New(Config{Host: "c-%d.x", Gateway: gateway.URL, Audience: audience, Metadata: strings.TrimPrefix(metadata.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestTokensLetRequestsIn(t *testing.T) {
	a := &miniature.Authority{Account: account}
	d := lockedIn(t, a, audience, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set(activation.InstanceHeader, "i")
			return
		}
		w.Header().Set(activation.Header, activation.Version)
		io.WriteString(w, `{"end":{"payload":{}}}`+"\n")
	})
	for node := range 3 {
		if _, err := d.Invoke(t.Context(), node, []byte(`{}`)); err != nil {
			t.Errorf("Invoke = %v", err)
		}
		if next, err := d.Next(t.Context(), node); next != "i" || err != nil {
			t.Errorf("Next = %q, %v", next, err)
		}
	}
	if n := a.Given(); n != 1 {
		t.Errorf("%d tokens for one pool", n)
	}
}

func TestPlatformThatDoesNotLetIn(t *testing.T) {
	for _, tt := range []struct {
		name, account, audience string
		says                    string
	}{
		{"no token", account, "", "no identity token was sent"},
		{"another audience", account, "https://other", "custom audiences have to list https://other"},
		{"another account", "someone@else", audience, "needs the role roles/run.invoker"},
		{"no account", "", audience, "on a machine of Google Cloud that has a service account"},
	} {
		d := lockedIn(t, &miniature.Authority{Account: tt.account}, tt.audience, func(http.ResponseWriter, *http.Request) {
			t.Errorf("%s: let in", tt.name)
		})
		_, err := d.Invoke(t.Context(), 3, []byte(`{}`))
		var e *platform.Error
		if !errors.As(err, &e) || e.Kind != platform.Denied || e.Node != 3 || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if next, _ := d.Next(t.Context(), 3); next != "" {
			t.Errorf("%s: Next = %q", tt.name, next)
		}
	}
}

// Whoever leaves while a token is asked for has cancelled, whatever becomes of it.
func TestLeavingWhileATokenIsAskedFor(t *testing.T) {
	asked, done := make(chan struct{}), make(chan struct{})
	metadata := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-done
	}))
	defer metadata.Close()
	defer close(done)
	d, err := New(Config{Host: "c-%d.x", Gateway: "http://127.0.0.1:1", Audience: audience, Metadata: strings.TrimPrefix(metadata.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := d.Invoke(ctx, 0, []byte(`{}`)); !errors.Is(err, platform.Canceled) {
		t.Errorf("Invoke = %v", err)
	}
}

// A token goes to the gateway and nowhere else: not where it redirects to, and not to
// the log when the gateway or the function tells what it was sent.
func TestTokensDoNotLeak(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("redirected to %s with %v", r.URL, r.Header)
	}))
	defer elsewhere.Close()
	a := &miniature.Authority{Account: account}
	metadata := httptest.NewServer(a)
	defer metadata.Close()
	for _, status := range []int{200, 301, 302, 303, 307, 308, 401, 403, 500} {
		for _, own := range []bool{false, true} {
			sent := ""
			gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent = r.Header.Get(tokenHeader)
				w.Header().Set("Location", elsewhere.URL)
				if own {
					w.Header().Set(activation.Header, activation.Version)
				}
				w.WriteHeader(status)
				fmt.Fprintf(w, `{"end":{"failure":{"fault":%q,"message":%q}}}`+"\n", sent, strings.Repeat("you sent "+sent, 20))
			}))
			d, err := New(Config{Host: "c-%d.x", Gateway: gateway.URL, Audience: audience, Metadata: strings.TrimPrefix(metadata.URL, "http://")})
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Invoke(t.Context(), 0, []byte(`{}`))
			if err == nil || !strings.HasPrefix(sent, "Bearer eyJ") || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%d, of the function itself %t: sent %t, told %v", status, own, sent != "", err)
			}
			if _, err := d.Next(t.Context(), 0); err != nil {
				t.Errorf("Next = %v", err)
			}
			d.Close()
			gateway.Close()
		}
	}
}

// What is taken for a token is fit for a header, and is found in a text, cut or not.
func FuzzToken(f *testing.F) {
	a := &miniature.Authority{Account: account}
	for _, seed := range []string{"", "eyJ.e.e", a.Token(audience), a.Token("https://x"), a.Token(audience) + "\nx: y", "eyJ0.eyJhdWQiOiJodHRwczovL2NhY2hlLm15LXByb2plY3Quc3ZjLmNsdXN0ZXIubG9jYWwifQ.0", "eyJh.e30.x", "eyJhbGciOiJIUzI1NiJ9..x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := expiry(token, audience); err != nil {
			return
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("%q in a header", token)
		}
		for n := 11; n <= min(len(token), maxRefusal-4); n++ {
			if got := told("<p> " + token[:n]); got != "<p> (token)" {
				t.Fatalf("told as %q", got)
			}
		}
	})
}
