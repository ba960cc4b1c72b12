package lambda

import (
	"fmt"
	"io"
	"net/http"
)

// maxAnswer is the most of an answer that is read, in bytes. The SDK keeps all of
// one in memory; what speaks at another endpoint may not end.
const maxAnswer = 2 * MaxResponse

// BoundAnswer has it be an error to read more of an answer than the service gives.
func BoundAnswer(res *http.Response) { res.Body = &boundedBody{res.Body, maxAnswer} }

// boundedTransport bounds every answer.
type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(req)
	if err == nil {
		BoundAnswer(res)
	}
	return res, err
}

// boundedBody fails where a longer answer goes on.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	return n, err
}
