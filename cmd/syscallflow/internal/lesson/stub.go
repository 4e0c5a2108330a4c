package lesson

var reload Lesson
