// stderr as people see it: lines, and below them one bar that is redrawn. Whoever prints, from any
// thread, goes through here, so that a line never begins in the middle of a bar. Nothing throws:
// where stderr is closed nobody is left to tell.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

/// Prints a line of its own, above the bar where one is drawn.
void print_line(std::string_view text);

/// Draws the bar in place of the one before, cut to the terminal's width.
void draw_bar(std::string_view text);

/// Leaves the bar as it is and begins a new line, for text that comes by another way (stdout).
void end_bar();

}  // namespace fathom
