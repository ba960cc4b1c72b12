package miniature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Authority is a metadata server, as a handler, and a front of services that lets in
// who has a token of it.
type Authority struct {
	// Account is whose machine asks; empty means that it has no account.
	Account string
	// Life is how long a token is valid; zero means an hour.
	Life time.Duration

	given atomic.Int64
}

// identityPath is where tokens are had.
const identityPath = "/computeMetadata/v1/instance/service-accounts/default/identity"

// tokenHeader is where Front looks for a token.
const tokenHeader = "X-Serverless-Authorization"

type claims struct {
	Audience string `json:"aud"`
	Email    string `json:"email"`
	Expires  int64  `json:"exp"`
}

// Given is how many tokens were given.
func (a *Authority) Given() int64 { return a.given.Load() }

// ServeHTTP answers as the metadata server does.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	audience := r.URL.Query().Get("audience")
	switch {
	case r.Header.Get("Metadata-Flavor") != "Google":
		http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
	case r.Method != http.MethodGet || r.URL.Path != identityPath || a.Account == "":
		http.NotFound(w, r)
	case audience == "":
		http.Error(w, "non-empty audience parameter required", http.StatusBadRequest)
	default:
		a.given.Add(1)
		w.Header().Set("Metadata-Flavor", "Google")
		_, _ = w.Write([]byte(a.Token(audience)))
	}
}

// Token is one that is valid from now on for Life.
func (a *Authority) Token(audience string) string {
	life := a.Life
	if life == 0 {
		life = time.Hour
	}
	text, _ := json.Marshal(claims{audience, a.Account, time.Now().Add(life).Unix()})
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
	return signed + "." + signature(signed)
}

func signature(signed string) string {
	mac := hmac.New(sha256.New, []byte("of a miniature"))
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Front lets requests in to services as Cloud Run does: 401 for a token that is not
// good for the audience now, 403 without a token or for another than the account.
// Functions get the token without its signature.
func Front(audience, account string, services http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, sent := strings.CutPrefix(r.Header.Get(tokenHeader), "Bearer ")
		dot := strings.LastIndexByte(token, '.')
		var c claims
		switch {
		case !sent:
			http.Error(w, "Your client does not have permission.", http.StatusForbidden)
			return
		case dot < 0 || token[dot+1:] != signature(token[:dot]) || !c.read(token) || c.Audience != audience || time.Now().Unix() >= c.Expires:
			http.Error(w, "The access token could not be verified.", http.StatusUnauthorized)
			return
		case c.Email != account:
			http.Error(w, "Your client does not have permission.", http.StatusForbidden)
			return
		}
		r.Header.Set(tokenHeader, "Bearer "+token[:dot]+".SIGNATURE_REMOVED_BY_GOOGLE")
		services.ServeHTTP(w, r)
	})
}

func (c *claims) read(token string) bool {
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	return err == nil && json.Unmarshal(text, c) == nil
}
