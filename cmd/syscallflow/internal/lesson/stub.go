package lesson
var robin, shared, inherited, reuseports, reload, timeWait Lesson
func clusterRole([]string) error { return nil }
