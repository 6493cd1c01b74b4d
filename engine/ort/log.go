package ort

// #include "shim.h"
import "C"

// Severity is an OrtLoggingLevel.
type Severity int

// The severities that are kept.
const (
	Warning Severity = 2
	Error   Severity = 3
	Fatal   Severity = 4
)

// String names a severity as ONNX Runtime's log does.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Error:
		return "error"
	case Fatal:
		return "fatal"
	default:
		return "info"
	}
}

// LogMessage is one message of ONNX Runtime's log; Text ends with the place in
// its source.
type LogMessage struct {
	Severity Severity
	Text     string
}

// Log gives the messages from number since on that are still kept, the last 128
// of warnings and worse, and the number to ask for next. ONNX Runtime writes
// nothing to stderr; whoever wants its log reads it here, the engine after
// making a session and at the end of a run.
func (l *Library) Log(since uint64) (messages []LogMessage, next uint64) {
	return logSince(since), logEnd()
}

func logEnd() uint64 { return uint64(C.mr_log_end()) }

func logSince(since uint64) (messages []LogMessage) {
	end := logEnd()
	if end > 128 {
		since = max(since, end-128)
	}
	var text [C.MR_LOG_TEXT]C.char
	var severity C.int
	for ; since < end; since++ {
		if C.mr_log_read(C.uint64_t(since), &severity, &text[0]) != 0 {
			messages = append(messages, LogMessage{Severity: Severity(severity), Text: C.GoString(&text[0])})
		}
	}
	return messages
}
