package serve

import (
	"context"
	"errors"
	"net/http"
)

// netHTTP serves with net/http on a listener of open.
func netHTTP(open listenFunc) server {
	return func(ctx context.Context, addr string, _ int) error {
		ln, err := open("tcp", addr)
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: http.HandlerFunc(handle)}
		defer context.AfterFunc(ctx, func() { srv.Close() })()
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

var (
	plain    = []string{"text/plain"}
	pageText = []byte(body)
)

// handle answers the same bytes as the others, so without a Date.
func handle(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h["Content-Type"] = plain
	h["Date"] = nil
	w.Write(pageText)
}
