// A rounded plate, 200 x 120, with round and elliptic holes. h: mesh size (1.25 gives about 15500 vertices).
SetFactory("OpenCASCADE");
DefineConstant[ h = 1.25 ];

Rectangle(1) = {0, 0, 0, 200, 120, 14};

Disk(11) = {38, 82, 0, 19};
Disk(12) = {164, 34, 0, 16};
Disk(13) = {88, 97, 0, 9};
Disk(14) = {30, 33, 0, 11};
Disk(15) = {128, 90, 0, 6};
Disk(16) = {122, 25, 0, 7};
Disk(17) = {63, 22, 0, 5};
Disk(18) = {178, 70, 0, 5};
Disk(21) = {92, 55, 0, 24, 12};
Rotate {{0, 0, 1}, {92, 55, 0}, Pi/7} { Surface{21}; }
Disk(22) = {163, 94, 0, 17, 8};
Rotate {{0, 0, 1}, {163, 94, 0}, -Pi/6} { Surface{22}; }

BooleanDifference(100) = { Surface{1}; Delete; }{ Surface{11:18, 21, 22}; Delete; };

holes() = Curve In BoundingBox{1, 1, -1, 199, 119, 1};
outer() = Curve{:};
outer() -= holes();

Physical Surface("plate") = {100};
Physical Curve("outer") = outer();
Physical Curve("holes") = holes();

MeshSize{ : } = h;
Mesh.Algorithm = 6;
