package cluster

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster/nodeipc"
	"onconn/sock"
)

// What a worker of a Node primary is told through its environment. See cluster.fork
// and child_process.fork.
const (
	envNodeWorker  = "NODE_UNIQUE_ID"                  // its number, from 1
	envNodeChannel = "NODE_CHANNEL_FD"                 // the descriptor of its channel
	envNodeWriting = "NODE_CHANNEL_SERIALIZATION_MODE" // json or advanced
)

// nodeVariables are for one process alone.
var nodeVariables = []string{envNodeWorker, envNodeChannel, envNodeWriting}

// A nodeBirth is what the environment said to a worker of a Node primary.
type nodeBirth struct {
	id      int
	channel sock.FD
	writing nodeipc.Serialization
}

// nodeBorn takes it out of the environment; nil: there is nothing of that.
func nodeBorn() *nodeBirth {
	id, err := strconv.Atoi(os.Getenv(envNodeWorker))
	if err != nil {
		return nil
	}
	fd, err := strconv.Atoi(os.Getenv(envNodeChannel))
	if err != nil || fd < 0 {
		return nil
	}
	b := &nodeBirth{id: id, channel: sock.FD(fd), writing: nodeipc.Serialization(os.Getenv(envNodeWriting))}
	unix.CloseOnExec(fd)
	for _, name := range nodeVariables {
		os.Unsetenv(name)
	}
	return b
}

// nodeWriting is how messages to Node workers are written, and theirs: as Node tells
// its children, by a variable, which here is the workers' or this process's.
func (cfg *Config) nodeWriting() (nodeipc.Serialization, error) {
	s := nodeipc.JSON
	for _, v := range slices.Concat(os.Environ(), cfg.Env) {
		if value, ok := strings.CutPrefix(v, envNodeWriting+"="); ok {
			s = nodeipc.Serialization(value)
		}
	}
	if s != nodeipc.JSON && s != nodeipc.Advanced {
		return "", fmt.Errorf("cluster: %s=%s: it is json or advanced", envNodeWriting, s)
	}
	return s, nil
}

// newNodeSelf is newSelf for a worker of a Node primary.
func newNodeSelf(b *nodeBirth) (*self, error) {
	w, err := nodeipc.NewWorker(b.channel, b.writing)
	if err != nil {
		return nil, err
	}
	s := bareSelf()
	s.id, s.drain = b.id, DefaultDrainTimeout
	s.bell, s.pipe, s.stderr = sock.None, sock.None, sock.None
	if s.board, err = newBoard(); err != nil { // its primary doesn't read it
		w.Close()
		return nil, err
	}
	s.channel = newNodePrimary(s, w)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGINT, unix.SIGTERM) // before anybody can know that it runs
	if err := w.Online(); err != nil {
		s.channel.close()
		return nil, err
	}
	go s.serve()
	go s.obey(asked)
	return s, nil
}

// obey leaves the cluster at SIGINT or SIGTERM, which is how a Node primary and PM2
// have a worker go. A second one ends the process, but not at once: PM2 signals the
// worker and all that it has started, and so does a terminal.
func (s *self) obey(asked chan os.Signal) {
	<-asked
	first := time.Now()
	s.channel.send(message{Op: opLeave})
	sig := <-asked
	for time.Since(first) < sameSignal {
		sig = <-asked
	}
	signal.Reset(sig)
	unix.Kill(os.Getpid(), sig.(unix.Signal))
}

// sameSignal is how long after the first one a signal may be part of it.
const sameSignal = time.Second
