// Command echo takes what is uploaded to it and gives what is asked for: a service to
// compare with.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

func main() {
	page := make([]byte, 1<<20)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			io.Copy(io.Discard, r.Body)
			return
		}
		n, _ := strconv.Atoi(r.URL.Query().Get("bytes"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		for n > 0 {
			k, err := w.Write(page[:min(n, len(page))])
			if err != nil {
				return
			}
			n -= k
		}
	})
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	log.Fatal((&http.Server{Addr: ":" + os.Getenv("PORT"), Handler: handler, Protocols: both}).ListenAndServe())
}
