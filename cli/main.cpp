// Owns: nothing. Called by: the kernel. Never: decides anything; cli/run.cpp does.
int main() { return 0; }
