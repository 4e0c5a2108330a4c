package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onconn/internal/cli"
	"onconn/internal/testleak"
)

func lessonOutput(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var b bytes.Buffer
	cmd := newLesson()
	cmd.SetArgs(args)
	cmd.SetOut(&b)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(context.Background())
	return b.String(), err
}

func TestLessonList(t *testing.T) {
	out, err := lessonOutput(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1  socket, bind", "9  TIME_WAIT", "lesson N"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestLessonUsage(t *testing.T) {
	for _, args := range [][]string{{"0"}, {"10"}, {"one"}, {"1", "2"}, {"1", "--width", "20"}, {"1", "--color", "blue"}} {
		if _, err := lessonOutput(t, args...); err == nil {
			t.Errorf("%q: no error", args)
		} else if _, ok := errors.AsType[cli.UsageError](err); !ok {
			t.Errorf("%q: %v is not about usage", args, err)
		}
	}
}

func TestLesson(t *testing.T) {
	testleak.FDs(t)
	testleak.Zombies(t)
	file := filepath.Join(t.TempDir(), "lesson.html")
	out, err := lessonOutput(t, "1", "--html", file, "--json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, `"schema": "syscallflow-lesson/1"`) || !strings.Contains(out, `"measured": "ECONNREFUSED"`) {
		t.Errorf("JSON: %s", out)
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Lesson 1 of 9", "It shook hands with the client", "<svg"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("no %q in the page", want)
		}
	}
}
