// Package terminal writes for people: colours and marks for states, bars and
// lines drawn with characters, and a line of progress. Everything has a form
// that needs neither colour nor Unicode.
package terminal

import _ "onconn/internal/linux"
