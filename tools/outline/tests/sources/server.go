// Package server answers.
package server

import (
	"context"
	"net/http"
)

const MaxBody = 1 << 20

const (
	StateNew State = iota
	StateDone
)

var ErrClosed = errors.New("closed")

var (
	mu    sync.Mutex
	cache = map[string]int{
		"a": 1,
	}
)

type State int

type Handler func(ctx context.Context, req *Request) error

type Alias = http.Handler

type (
	// Point is one.
	Point struct{ X, Y int }

	Reader interface {
		Read(p []byte) (n int, err error)
		io.Closer
	}
)

// Server serves.
type Server[T any] struct {
	http.Server
	addr    string
	handler Handler
	limits  struct {
		body int
	}
}

func New[T any](addr string, options ...Option) (*Server[T], error) {
	local := func() {}
	local()
	return &Server[T]{addr: addr}, nil
}

func (s *Server[T]) Serve(
	ctx context.Context,
	l net.Listener,
) error {
	type inner struct{}
	return nil
}

func (Point) String() string { return "" }

func init() {}
