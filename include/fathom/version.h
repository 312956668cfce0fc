// The one version number of Fathom; CMake reads it from here.
#pragma once

#define FATHOM_VERSION "0.1.0"
